// The beginning: what shall be done, and by whom.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { Link, Navigate, useNavigate, useSearchParams } from 'react-router';
import type { Schemas } from '../api/client';
import { agents, approvals, me } from '../api/questions';
import { useMay } from '../app/rights';
import { count } from '../text/formats';
import { oneLine } from '../text/visible';
import { Pending } from '../ui/Pending';
import { Composer } from './Composer';
import { begin } from './orders';

type Agent = Schemas['Agent'];

/** Whom this browser last gave work to. */
const LAST = 'bailiwick-colleague';

/** Whom one can give work to, by name. */
function usable(all: Agent[]): Agent[] {
  const able = all.filter((one) => one.bailiwick.status === 'active' && one.bailiwick.published_version != null);
  return able.sort((a, b) => (a.name ?? '').localeCompare(b.name ?? ''));
}

export function Home() {
  const known = useQuery(me).data;
  const first = known?.user?.name.split(' ')[0];
  const colleagues = useQuery(agents);
  const may = useMay();
  useEffect(() => {
    document.title = 'Bailiwick';
  }, []);
  // Whoever only looks begins where there is something to see.
  if (!may('sessions:write')) return <Navigate to="/work" replace />;
  return (
    <div className="page home">
      <header>
        <h1>{first ? `What shall be done, ${oneLine(first, 30)}?` : 'What shall be done?'}</h1>
      </header>
      <WaitingNote />
      <Pending of={colleagues}>{(all) => <Begin colleagues={usable(all.data)} />}</Pending>
    </div>
  );
}

function WaitingNote() {
  const waiting = useQuery(approvals).data?.data.filter((one) => one.may_answer).length ?? 0;
  if (waiting === 0) return null;
  return (
    <p className="note warn">
      {count(waiting, 'question waits', 'questions wait')} for your word. <Link to="/inbox">Answer</Link>
    </p>
  );
}

function Begin({ colleagues }: { colleagues: Agent[] }) {
  const [query] = useSearchParams();
  const [chosen, choose] = useState(() => query.get('with') ?? localStorage.getItem(LAST));
  const client = useQueryClient();
  const go = useNavigate();
  // The same order that is sent again, because its answer was lost, is the same piece of work.
  const key = useRef(crypto.randomUUID());
  const agent = colleagues.find((one) => one.id === chosen) ?? colleagues[0];
  if (!agent) return <NoColleagues />;
  return (
    <div className="stack">
      <Composer
        draft="new"
        label={`What shall ${agent.name ?? 'your colleague'} do?`}
        placeholder="Say what you need, in your own words. Drop files here."
        send="Begin"
        takesFiles
        autoFocus
        order={async (order) => {
          const session = await begin(agent, order, key.current);
          localStorage.setItem(LAST, agent.id);
          key.current = crypto.randomUUID();
          void client.invalidateQueries({ queryKey: ['sessions'] });
          void go(`/work/${session.id}`);
        }}
      />
      <fieldset>
        <legend className="label">By whom</legend>
        <div className="choices">
          {colleagues.map((one) => (
            <label key={one.id} className="choice">
              <input type="radio" name="colleague" checked={one.id === agent.id} onChange={() => choose(one.id)} />
              <span>
                <strong>{one.name ? oneLine(one.name, 60) : 'No name'}</strong>
                <span className="soft small">{purpose(one)}</span>
              </span>
            </label>
          ))}
        </div>
      </fieldset>
    </div>
  );
}

/** What an agent is for: as its author says it, else the beginning of what it was told. */
export function purpose(agent: Agent): string {
  return oneLine(agent.metadata.description ?? agent.instructions ?? 'Nobody wrote down what it is for.', 160);
}

function NoColleagues() {
  return (
    <div className="empty">
      <h2>There is no colleague yet</h2>
      <p>
        Somebody with the role of a builder makes one with <code>bailiwick agent create</code>. Then it is here.
      </p>
    </div>
  );
}
