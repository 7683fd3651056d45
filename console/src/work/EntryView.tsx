// One entry of the story: words as words, and what was done folded under a line that says it.

import { memo } from 'react';
import { Link } from 'react-router';
import { Markdown } from '../text/Markdown';
import { duration } from '../text/formats';
import { exact, oneLine, prose } from '../text/visible';
import { Icon } from '../ui/Icon';
import { EffectNote } from './EffectNote';
import { Long } from './Long';
import type { Entry, Item } from './story';
import { describe, type Doing } from './doing';

interface Parts {
  entry: Entry;
  output?: Entry;
  session: string;
}

export const EntryView = memo(function EntryView({ entry, output, session }: Parts) {
  const { item } = entry;
  switch (item.type) {
    case 'message':
      return item.role === 'user' ? <Said item={item} /> : <Words entry={entry} item={item} />;
    case 'reasoning':
      return <Thinking entry={entry} item={item} />;
    case 'function_call_output':
      return null;
    default:
      return <Done doing={describe(entry, output)} entry={entry} session={session} />;
  }
});

type Of<Kind extends Item['type']> = Extract<Item, { type: Kind }>;

function Said({ item }: { item: Of<'message'> }) {
  const pictures = item.content.filter((part) => part.type === 'input_image').length;
  const text = item.content.map((part) => ('text' in part ? part.text : '')).join('\n');
  return (
    <article className="said" aria-label="Said by a person">
      <p dir="auto">{prose(text)}</p>
      {pictures > 0 ? <p className="small soft">and a picture</p> : null}
    </article>
  );
}

function Words({ entry, item }: { entry: Entry; item: Of<'message'> }) {
  const text = entry.final ? item.content.map((part) => ('text' in part ? part.text : '')).join('') : entry.parts.join('');
  if (text === '') return null;
  return (
    <article className={entry.final ? 'words' : 'words live'} aria-label="Said by the colleague">
      <Markdown text={text} />
    </article>
  );
}

function Thinking({ entry, item }: { entry: Entry; item: Of<'reasoning'> }) {
  const text = entry.final ? item.summary.map((part) => part.text).join('\n\n') : entry.parts.join('\n\n');
  if (text === '') return entry.final ? null : <Busy what="Thinking…" />;
  return (
    <details className="thinking">
      <summary>
        {entry.final ? 'Thought about it' : 'Thinking…'} <span className="faint">{oneLine(text, 70)}</span>
      </summary>
      <Markdown text={text} />
    </details>
  );
}

function Busy({ what }: { what: string }) {
  return (
    <p className="row soft small busy-line">
      <span className="spinner" /> {what}
    </p>
  );
}

function Done({ doing, entry, session }: { doing: Doing; entry: Entry; session: string }) {
  const { bailiwick } = entry.item as Of<'command_execution'>;
  const effect = bailiwick?.effect;
  const runs = doing.status === 'in_progress' && !effect;
  const tone = effect && effect.type !== 'resolved' ? 'warn' : doing.status === 'failed' ? 'bad' : '';
  return (
    <div className={`done ${tone}`}>
      <details open={runs && entry.output !== '' ? true : undefined}>
        <summary>
          {runs ? <span className="spinner" aria-label="Runs" /> : <Mark status={doing.status} effect={effect?.type} />}
          <span className="did">
            {doing.verb} <code>{oneLine(doing.what, 110)}</code>
          </span>
          {doing.ms == null ? null : <span className="faint small">{duration(doing.ms)}</span>}
        </summary>
        <div className="stack-small inside">
          {doing.blocks.map((block) => (
            <Long key={block.title} title={block.title} text={exact(block.text)} />
          ))}
          {bailiwick?.action ? (
            <p className="small">
              <Link to={`/receipts/${session}/${bailiwick.action}`} className="row">
                <Icon name="receipt" /> Receipt
              </Link>
            </p>
          ) : null}
        </div>
      </details>
      {effect ? <EffectNote effect={effect} /> : null}
    </div>
  );
}

function Mark({ status, effect }: { status: string; effect?: string }) {
  if (effect === 'denied') return <span className="mark bad" role="img" aria-label="Denied">✕</span>;
  if (effect === 'asked' || effect === 'unknown' || effect === 'held') {
    return <span className="mark warn" role="img" aria-label="Waits">?</span>;
  }
  if (status === 'failed') return <span className="mark bad" role="img" aria-label="Failed">!</span>;
  return <span className="mark" role="img" aria-label="Done">✓</span>;
}
