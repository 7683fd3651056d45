import { useState } from 'react';
import { count } from '../text/formats';

const MOST_LINES = 200;
const MOST_CHARACTERS = 20_000;

/** A text as it is. Of a long one the beginning and the end are shown first, and it is said what is left out. */
export function Long({ title, text }: { title: string; text: string }) {
  const [whole, setWhole] = useState(false);
  const shown = whole ? { head: text, left: 0, tail: '' } : cut(text);
  return (
    <div>
      <p className="small faint block-title" dir="auto">
        {title}
      </p>
      <pre className="verbatim" tabIndex={0} role="group" aria-label={title}>
        <code>{shown.head}</code>
        {shown.left > 0 ? (
          <button type="button" className="link more" onClick={() => setWhole(true)}>
            … {count(shown.left, 'more character')}: show everything …
          </button>
        ) : null}
        <code>{shown.tail}</code>
      </pre>
    </div>
  );
}

function cut(text: string): { head: string; left: number; tail: string } {
  const lines = text.split('\n', MOST_LINES + 1);
  if (text.length <= MOST_CHARACTERS && lines.length <= MOST_LINES) return { head: text, left: 0, tail: '' };
  const head = lines.slice(0, MOST_LINES / 2).join('\n').slice(0, MOST_CHARACTERS / 2);
  const tail = text.slice(head.length).split('\n').slice(-20).join('\n').slice(-MOST_CHARACTERS / 10);
  return { head, left: Math.max(0, text.length - head.length - tail.length), tail };
}
