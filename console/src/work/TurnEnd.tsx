import { prose } from '../text/visible';
import type { Turn } from './story';

/** How a turn ended that did not go well, in plain words. */
export function TurnEnd({ turn }: { turn: Turn }) {
  if (turn.status === 'cancelled') return <p className="turn-end soft">Stopped.</p>;
  const { denied_by: rule } = turn.bailiwick;
  return (
    <div className="note bad turn-end" role="note">
      <p>
        {rule === 'stopped' ? 'Somebody stopped this. ' : rule ? `The rule “${rule}” ended this. ` : 'This broke off. '}
        {turn.error ? prose(turn.error.message) : null}
      </p>
    </div>
  );
}
