// What was spent, by whatever is asked: as bars, and the same as a table.

import { useQuery } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { api, told, type Schemas } from '../api/client';
import { useNames } from '../app/who';
import { at, count } from '../text/formats';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';

type Report = Schemas['SpendReport'];

const BY: [string, string][] = [
  ['agent', 'colleague'],
  ['person', 'person'],
  ['team', 'team'],
  ['model', 'model'],
  ['outcome', 'outcome'],
  ['day', 'day'],
];
const DAY = 86_400;
const SPANS: [string, number][] = [
  ['the last 7 days', 7],
  ['the last 30 days', 30],
  ['the last 90 days', 90],
];
const MOST_LINES = 200;

export default function Spend() {
  const [by, setBy] = useState('agent');
  const [days, setDays] = useState(30);
  const fields = [useId(), useId()] as const;
  const report = useQuery({
    queryKey: ['spend', by, days],
    queryFn: () => {
      const until = Math.ceil(Date.now() / 1000) + 1;
      const query = { by, from: String(until - days * DAY), until: String(until), limit: MOST_LINES };
      return told(api.GET('/bailiwick/v1/spend', { params: { query: query as never } }));
    },
  });
  return (
    <Page title="Spend" wide>
      <div className="stack">
        <div className="row filters">
          <label htmlFor={fields[0]}>By</label>
          <select id={fields[0]} className="input short" value={by} onChange={(event) => setBy(event.target.value)}>
            {BY.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
          <label htmlFor={fields[1]}>In</label>
          <select id={fields[1]} className="input short" value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {SPANS.map(([words, value]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
          {report.data ? <Export report={report.data} by={by} /> : null}
        </div>
        <Pending of={report}>{(data) => <Shown report={data} by={by} />}</Pending>
      </div>
    </Page>
  );
}

function Shown({ report, by }: { report: Report; by: string }) {
  const names = useNames();
  const most = Math.max(...report.data.map((one) => Number(one.cost)), 0);
  const word = BY.find(([value]) => value === by)?.[1] ?? by;
  const name = (value: string | undefined) => (value && /^(agent|user|team|key)_/.test(value) ? names(value) : value || 'nobody');
  return (
    <>
      <p className="total">
        <strong>
          {report.total.cost} {report.currency}
        </strong>{' '}
        <span className="soft">
          in {count(report.total.calls, 'call')} since {at(report.from)}
          {report.total.unpriced_calls > 0 ? `; ${count(report.total.unpriced_calls, 'call')} of models without a price are not in it` : ''}
        </span>
      </p>
      <div className="scroll" tabIndex={0} role="group" aria-label={`Spend by ${word}`}>
        <table className="bars">
          <thead>
            <tr>
              <th scope="col">{word}</th>
              <th scope="col" className="number">
                {report.currency}
              </th>
              <th scope="col" aria-label="As a bar" />
              <th scope="col" className="number">
                Calls
              </th>
              <th scope="col" className="number">
                Tokens in
              </th>
              <th scope="col" className="number">
                Tokens out
              </th>
            </tr>
          </thead>
          <tbody>
            {report.data.map((one) => (
              <tr key={one.values.join()}>
                <td>{name(one.values[0])}</td>
                <td className="number">{one.cost}</td>
                <td className="bar">
                  <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
                    <rect width={most > 0 ? (Number(one.cost) / most) * 100 : 0} height="8" rx="1" />
                  </svg>
                </td>
                <td className="number">{one.calls.toLocaleString('en')}</td>
                <td className="number">{one.input_tokens.toLocaleString('en')}</td>
                <td className="number">{one.output_tokens.toLocaleString('en')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {report.has_more ? <p className="soft small">Only the dearest {MOST_LINES} are shown; the sum is of all.</p> : null}
    </>
  );
}

/** The table as a file of comma-separated values, made in the page. */
function Export({ report, by }: { report: Report; by: string }) {
  const quoted = (text: string) => `"${text.replaceAll('"', '""').replace(/^[=+\-@]/, "'$&")}"`;
  const take = () => {
    const head = [by, 'cost', 'currency', 'estimated', 'calls', 'unpriced_calls', 'input_tokens', 'cached_input_tokens', 'output_tokens'];
    const lines = report.data.map((one) =>
      [quoted(one.values[0] ?? ''), one.cost, report.currency, one.estimated, one.calls, one.unpriced_calls, one.input_tokens, one.cached_input_tokens, one.output_tokens].join(),
    );
    const url = URL.createObjectURL(new Blob([`${[head.join(), ...lines].join('\r\n')}\r\n`], { type: 'text/csv' }));
    const link = document.createElement('a');
    link.href = url;
    link.download = `spend-by-${by}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  };
  return (
    <button type="button" className="button small" onClick={take}>
      Take as CSV
    </button>
  );
}
