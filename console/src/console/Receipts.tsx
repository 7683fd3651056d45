// The organisation's receipts: searched by the questions of a gate, each a saved view.

import { useInfiniteQuery } from '@tanstack/react-query';
import { useId } from 'react';
import { Link, useSearchParams } from 'react-router';
import { api, told, type Schemas } from '../api/client';
import { useNames } from '../app/who';
import { at, money } from '../text/formats';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';

type Receipt = Schemas['AuditReceipt'];

/** Filters that an auditor comes back to. */
const SAVED: [string, Record<string, string>][] = [
  ['Everything', {}],
  ['What was denied', { decision: 'denied' }],
  ['Where a person was asked', { decision: 'asked' }],
  ['What left the company', { outside: 'true' }],
  ['What nobody knows the end of', { effect: 'unknown' }],
  ['Changes of the administration', { kind: 'administration' }],
];
const FIELDS = ['person', 'agent', 'session', 'operation'] as const;
const AT_ONCE = 100;

export default function Receipts() {
  const [query, setQuery] = useSearchParams();
  const given = Object.fromEntries(query);
  const key = query.toString();
  const pages = useInfiniteQuery({
    queryKey: ['audit', key],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) => {
      const asked = { limit: AT_ONCE, order: 'desc', after: pageParam, ...given };
      return told(api.GET('/bailiwick/v1/audit/receipts', { params: { query: asked as never } }));
    },
    getNextPageParam: (last) => (last.has_more ? (last.last_id ?? undefined) : undefined),
  });
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(query);
    if (value) next.set(name, value);
    else next.delete(name);
    setQuery(next, { replace: true });
  };
  return (
    <Page title="Receipts" wide lead="What was decided, and what became of it.">
      <div className="stack">
        <div className="row" role="group" aria-label="Saved views">
          {SAVED.map(([words, filter]) => {
            const saved = new URLSearchParams(filter).toString();
            return (
              <button key={words} type="button" className="button small" aria-pressed={saved === key} onClick={() => setQuery(filter)}>
                {words}
              </button>
            );
          })}
        </div>
        <div className="row filters">
          {FIELDS.map((name) => (
            <Filter key={name} name={name} value={given[name] ?? ''} set={(value) => set(name, value)} />
          ))}
        </div>
        <Pending of={pages}>{(all) => <Table receipts={all.pages.flatMap((page) => page.data)} />}</Pending>
        {pages.hasNextPage ? (
          <button type="button" className="button" disabled={pages.isFetching} onClick={() => void pages.fetchNextPage()}>
            Show older
          </button>
        ) : null}
      </div>
    </Page>
  );
}

function Filter({ name, value, set }: { name: string; value: string; set: (value: string) => void }) {
  const field = useId();
  return (
    <span className="filter">
      <label htmlFor={field}>{name}</label>
      <input
        id={field}
        key={value}
        className="input short"
        defaultValue={value}
        placeholder={name === 'operation' ? 'file.write' : `${name === 'session' ? 'sess' : name === 'person' ? 'user' : name}_…`}
        onBlur={(event) => set(event.target.value.trim())}
        onKeyDown={(event) => {
          if (event.key === 'Enter') set(event.currentTarget.value.trim());
        }}
      />
    </span>
  );
}

function Table({ receipts }: { receipts: Receipt[] }) {
  const names = useNames();
  if (receipts.length === 0) return <p className="soft">No receipt fits.</p>;
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label="Receipts">
      <table>
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">What</th>
            <th scope="col">Decided</th>
            <th scope="col">Became of it</th>
            <th scope="col">For</th>
            <th scope="col">Colleague</th>
            <th scope="col" className="number">
              Cost
            </th>
          </tr>
        </thead>
        <tbody>
          {receipts.map((one) => (
            <tr key={one.id}>
              <td className="moment">{at(one.time)}</td>
              <td>
                {one.action && one.session_id ? <Link to={`/receipts/${one.session_id}/${one.action}`}>{one.operation}</Link> : one.operation}
                {one.outside ? <span className="badge warn">left the company</span> : null}
              </td>
              <td>{one.decision}</td>
              <td>{one.effect ?? ''}</td>
              <td>{one.person || one.orderer ? names(one.person ?? one.orderer) : ''}</td>
              <td>{one.agent_id ? names(one.agent_id) : ''}</td>
              <td className="number">{one.cost_micros == null ? '' : money(one.cost_micros)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
