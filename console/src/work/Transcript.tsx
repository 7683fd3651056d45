// The story of a piece of work. Short ones are whole in the page, so that one can search in them and a screen reader
// reads on; long ones hold only what is near.

import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { useLayoutEffect, useMemo, useRef } from 'react';
import { EntryView } from './EntryView';
import { TurnEnd } from './TurnEnd';
import type { Entry, Story, Turn } from './story';

/** From here on only what is near is in the page. */
const LONG = 300;
const LIKELY_HEIGHT = 96;
const NEAR_END_PX = 160;

type Row = { key: string; entry: Entry; output?: Entry } | { key: string; end: Turn };

export function Transcript({ story }: { story: Story }) {
  const rows = useMemo(() => rowsOf(story), [story]);
  useStayAtEnd(story.entries);
  const session = story.session?.id ?? '';
  return (
    <section aria-label="What happened" className="transcript">
      {rows.length > LONG ? <Long rows={rows} session={session} /> : rows.map((row) => <RowView key={row.key} row={row} session={session} />)}
    </section>
  );
}

function RowView({ row, session }: { row: Row; session: string }) {
  if ('end' in row) return <TurnEnd turn={row.end} />;
  return <EntryView entry={row.entry} output={row.output} session={session} />;
}

function Long({ rows, session }: { rows: Row[]; session: string }) {
  const list = useRef<HTMLDivElement>(null);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => LIKELY_HEIGHT,
    overscan: 12,
    scrollMargin: list.current?.offsetTop ?? 0,
    getItemKey: (index) => rows[index]?.key ?? index,
  });
  return (
    <div ref={list} className="virtual" style={{ height: virtual.getTotalSize() }}>
      {virtual.getVirtualItems().map((item) => {
        const row = rows[item.index];
        const top = item.start - virtual.options.scrollMargin;
        return row ? (
          <div key={item.key} ref={virtual.measureElement} data-index={item.index} style={{ transform: `translateY(${top}px)` }}>
            <RowView row={row} session={session} />
          </div>
        ) : null;
      })}
    </div>
  );
}

/** Entries in their order, each function's answer with its call, and the end of each turn that did not go well. */
function rowsOf(story: Story): Row[] {
  const answers = new Map<string, Entry>();
  for (const entry of story.entries) {
    if (entry.item.type === 'function_call_output') answers.set(`${entry.turn} ${entry.item.call_id}`, entry);
  }
  const rows: Row[] = [];
  const end = (id: string | undefined) => {
    const turn = id === undefined ? undefined : story.turns.get(id);
    if (turn && (turn.status === 'failed' || turn.status === 'cancelled')) rows.push({ key: `end ${turn.id}`, end: turn });
  };
  let current: string | undefined;
  for (const entry of story.entries) {
    if (current !== undefined && entry.turn !== current) end(current);
    current = entry.turn;
    if (entry.item.type === 'function_call_output') continue;
    const output = entry.item.type === 'function_call' ? answers.get(`${entry.turn} ${entry.item.call_id}`) : undefined;
    rows.push({ key: entry.id, entry, output });
  }
  end(current);
  return rows;
}

/** Whoever is at the end stays there while more comes. */
function useStayAtEnd(entries: readonly Entry[]): void {
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    const look = () => {
      const page = document.documentElement;
      atEnd.current = page.scrollHeight - page.scrollTop - page.clientHeight < NEAR_END_PX;
    };
    window.addEventListener('scroll', look, { passive: true });
    return () => window.removeEventListener('scroll', look);
  }, []);
  useLayoutEffect(() => {
    if (atEnd.current) window.scrollTo(0, document.documentElement.scrollHeight);
  }, [entries]);
}
