// Everybody's work, with a way to stop it: one session, one colleague, or everything.

import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { Link } from 'react-router';
import { api, told } from '../api/client';
import { agents } from '../api/questions';
import { useMay } from '../app/rights';
import { useNames } from '../app/who';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { When } from '../ui/When';
import { nameOf, StatusBadge, titleOf } from '../work/parts';
import type { Session } from '../work/story';
import { Stops, StopQuestion, type Target } from './Stops';

const AT_ONCE = 100;

export default function Sessions() {
  const may = useMay()('sessions:stop');
  const names = useNames();
  const client = useQueryClient();
  const [agent, setAgent] = useState('');
  const [status, setStatus] = useState('');
  const [target, setTarget] = useState<Target>();
  const colleagues = useQuery(agents).data?.data ?? [];
  const pages = useInfiniteQuery({
    queryKey: ['sessions', 'console', agent],
    refetchInterval: 10_000,
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      told(
        api.GET('/v1/agents/sessions', { params: { query: { limit: AT_ONCE, after: pageParam, agent_id: agent || undefined } } }),
      ),
    getNextPageParam: (last) => (last.has_more ? (last.last_id ?? undefined) : undefined),
  });
  const fields = [useId(), useId()] as const;
  const stopped = () => {
    setTarget(undefined);
    void client.invalidateQueries({ queryKey: ['stops'] });
    void client.invalidateQueries({ queryKey: ['sessions'] });
  };
  return (
    <Page
      title="Work"
      wide
      lead="Everybody’s, newest first."
      beside={
        may ? (
          <button type="button" className="button danger" onClick={() => setTarget({ id: 'everything', name: 'everything' })}>
            Stop everything
          </button>
        ) : null
      }
    >
      <div className="stack">
        <Stops />
        <div className="row filters">
          <label htmlFor={fields[0]}>Colleague</label>
          <select id={fields[0]} className="input short" value={agent} onChange={(event) => setAgent(event.target.value)}>
            <option value="">all</option>
            {colleagues.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
          <label htmlFor={fields[1]}>Standing</label>
          <select id={fields[1]} className="input short" value={status} onChange={(event) => setStatus(event.target.value)}>
            <option value="">all</option>
            <option value="in_progress">working</option>
            <option value="requires_action">waits</option>
            <option value="idle">at rest</option>
            <option value="failed">broke off</option>
          </select>
        </div>
        <Pending of={pages}>
          {(all) => (
            <Table
              sessions={all.pages.flatMap((page) => page.data).filter((one) => !status || one.status === status)}
              names={names}
              stop={may ? setTarget : undefined}
            />
          )}
        </Pending>
        {pages.hasNextPage ? (
          <button type="button" className="button" disabled={pages.isFetching} onClick={() => void pages.fetchNextPage()}>
            Show older
          </button>
        ) : null}
      </div>
      {target ? <StopQuestion target={target} done={stopped} close={() => setTarget(undefined)} /> : null}
    </Page>
  );
}

function Table({ sessions, names, stop }: { sessions: Session[]; names: ReturnType<typeof useNames>; stop?: (target: Target) => void }) {
  if (sessions.length === 0) return <p className="soft">No work of this kind.</p>;
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label="Work">
      <table>
        <thead>
          <tr>
            <th scope="col">What</th>
            <th scope="col">Standing</th>
            <th scope="col">Colleague</th>
            <th scope="col">For</th>
            <th scope="col">Last</th>
            {stop ? <th scope="col">Stop</th> : null}
          </tr>
        </thead>
        <tbody>
          {sessions.map((one) => (
            <tr key={one.id}>
              <td>
                <Link to={`/work/${one.id}`}>{titleOf(one)}</Link>
              </td>
              <td>
                <StatusBadge session={one} />
              </td>
              <td>{nameOf(one)}</td>
              <td>{names(one.bailiwick.subject ?? one.bailiwick.orderer)}</td>
              <td>
                <When seconds={one.last_active_at} />
              </td>
              {stop ? (
                <td>
                  <button type="button" className="button small danger" onClick={() => stop({ id: one.id, name: titleOf(one) })}>
                    Stop<span className="unseen"> {titleOf(one)}</span>
                  </button>
                </td>
              ) : null}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
