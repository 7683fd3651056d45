import type { Schemas } from '../api/client';
import { prose } from '../text/visible';

type Effect = Schemas['Effect'];

const RESOLVED: Record<string, string> = {
  happened: 'A person said that it happened.',
  did_not_happen: 'A person said that it did not happen.',
  do_again: 'A person said that it may be done again.',
};

/** What became of an action, where that is more than done or failed. */
export function EffectNote({ effect }: { effect: Effect }) {
  switch (effect.type) {
    case 'denied':
      return (
        <p className="effect">
          Denied by the rule <strong>{effect.rule}</strong>. {prose(effect.remedy)}
        </p>
      );
    case 'asked':
      return (
        <p className="effect">
          Waits for a person: {prose(effect.reason)} (rule <strong>{effect.rule}</strong>).
        </p>
      );
    case 'unknown':
      return <p className="effect">Nobody knows whether this happened. {prose(effect.reason)}</p>;
    case 'held':
      return <p className="effect">Held back: the same was tried before, and nobody knows whether it happened.</p>;
    case 'resolved':
      return <p className="effect">{RESOLVED[effect.resolution] ?? 'A person said what became of it.'}</p>;
  }
}
