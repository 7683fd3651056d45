// The receipt behind one visible effect: what was asked, who decided, what became of it, and its place in the log.

import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link, useParams } from 'react-router';
import { api, told, type Schemas } from '../api/client';
import { me, receipts } from '../api/questions';
import { useMay } from '../app/rights';
import { useNames } from '../app/who';
import { at, money } from '../text/formats';
import { exact, prose } from '../text/visible';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { labelWords } from '../work/About';
import { Long } from '../work/Long';
import { amount } from './cost';

type Record_ = Schemas['Receipt'] & Partial<Said>;

/** What receipts say beside their envelope; which of it depends on the kind. */
interface Said {
  decision: string;
  rule: string;
  reason: string;
  remedy: string;
  operation: string;
  arguments: unknown;
  digest: string;
  subject: string | null;
  actor: string;
  orderer: string;
  label: unknown;
  policy_version: number;
  effect: string;
  failure: unknown;
  answered: Answered | string;
}

/** Somebody's word on this action, or one that they gave before for the like. */
interface Answered {
  by?: Word;
  under?: Word & { grant: string };
}

interface Word {
  by: { id?: string };
  approve?: boolean;
  reason?: string;
}

export default function ReceiptPage() {
  const { session = '', action = '' } = useParams();
  const all = useQuery(receipts(session));
  return (
    <Pending of={all}>
      {(found) => {
        const records = found.filter((one) => one.action === action) as Record_[];
        return records.length > 0 ? <Shown records={records} session={session} action={action} /> : <NotThere session={session} />;
      }}
    </Pending>
  );
}

function NotThere({ session }: { session: string }) {
  return (
    <Page title="There is no such receipt">
      <p>
        This action is none of <Link to={`/work/${session}`}>this work</Link>.
      </p>
    </Page>
  );
}

function Shown({ records, session, action }: { records: Record_[]; session: string; action: string }) {
  const decided = records.find((one) => one.operation) ?? records[0];
  return (
    <Page
      title="Receipt"
      lead={
        <>
          {decided?.operation ?? 'An action'} in <Link to={`/work/${session}`}>this work</Link>
        </>
      }
    >
      <div className="stack">
        <ol className="stack">
          {records.map((one) => (
            <li key={one.id}>
              <Step one={one} />
            </li>
          ))}
        </ol>
        <Proof action={action} />
      </div>
    </Page>
  );
}

const DECISIONS: Record<string, string> = {
  allowed: 'Allowed',
  denied: 'Denied',
  asked: 'A person was asked',
  held: 'Held back',
};
const EFFECTS: Record<string, string> = {
  confirmed: 'Done',
  failed: 'Failed',
  unknown: 'Nobody knows whether it happened',
  not_sent: 'Not sent',
  denied: 'Not done',
};

function titleOf(one: Record_): string {
  if (one.kind === 'action.settled') return EFFECTS[one.effect ?? ''] ?? one.effect ?? 'Settled';
  if (one.kind === 'action.resumed') return 'Went on after an interruption';
  return DECISIONS[one.decision ?? ''] ?? one.decision ?? 'Decided';
}

function Step({ one }: { one: Record_ }) {
  const names = useNames();
  const known = useQuery(me).data;
  const cost = amount(one);
  return (
    <article className="card stack-small" aria-label={titleOf(one)}>
      <div className="row apart">
        <h2>{titleOf(one)}</h2>
        <time dateTime={one.time} className="small soft">
          {at(one.time)}
        </time>
      </div>
      <dl className="facts">
        <Fact name="Rule" shown={one.rule}>
          {one.rule}
          {one.policy_version ? <span className="faint"> (policy {one.policy_version})</span> : null}
        </Fact>
        <Fact name="Because" shown={one.reason}>
          {prose(String(one.reason))}
        </Fact>
        <Fact name="Way out" shown={one.remedy}>
          {prose(String(one.remedy))}
        </Fact>
        <Fact name="Ordered by" shown={one.orderer}>
          {names(one.orderer)}
        </Fact>
        <Fact name="In the rights of" shown={one.subject}>
          {names(one.subject)}
        </Fact>
        <Fact name="Done by" shown={one.actor}>
          {names(one.actor)}
        </Fact>
        <Fact name="Answered by" shown={one.answered}>
          <Answer answered={one.answered} />
        </Fact>
        <Fact name="Work had read" shown={one.label}>
          {labelWords(one.label)}
        </Fact>
        <Fact name="Cost" shown={cost}>
          {money(cost ?? 0, known?.currency)}
        </Fact>
      </dl>
      {one.arguments ? <Long title="Exactly what" text={exact(JSON.stringify(one.arguments, null, 2))} /> : null}
      <details className="small">
        <summary className="soft">The whole record, and its place in the chain</summary>
        <pre className="verbatim" tabIndex={0}>
          {exact(JSON.stringify(one, null, 2))}
        </pre>
      </details>
    </article>
  );
}

function Answer({ answered }: { answered: Said['answered'] | undefined }) {
  const names = useNames();
  if (typeof answered !== 'object') return <>{answered === 'expired' ? 'nobody, in time' : answered}</>;
  const word = answered.by ?? answered.under;
  return (
    <>
      {names(word?.by.id)}
      {answered.under ? ', who had said yes to the like before' : word?.approve === false ? ': no' : ': yes'}
      {word?.reason ? <span className="soft"> ({prose(word.reason)})</span> : null}
    </>
  );
}

function Fact({ name, shown, children }: { name: string; shown: unknown; children: ReactNode }) {
  if (shown === undefined || shown === null || shown === '') return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** That the records are in the log, for who may see it. */
function Proof({ action }: { action: string }) {
  const may = useMay()('audit:read');
  const proof = useQuery({
    queryKey: ['proof', action],
    enabled: may,
    queryFn: () => told(api.GET('/bailiwick/v1/audit/receipts/{action_id}', { params: { path: { action_id: action } } })),
  });
  if (!may) {
    return <p className="soft small">An auditor can prove that these records are in the organisation’s log, unchanged.</p>;
  }
  return (
    <section className="card stack-small" aria-labelledby="proof">
      <h2 id="proof">Its place in the log</h2>
      <Pending of={proof}>
        {(found) => (
          <dl className="facts">
            {found.records.map((one) => (
              <div key={one.index}>
                <dt>
                  {one.kind} <span className="faint">leaf {one.index}</span>
                </dt>
                <dd className="small">
                  <code>{one.leaf}</code>
                  <br />
                  {one.proof.length} hashes up to the checkpoint of {at(one.checkpoint.time)} over {one.checkpoint.size} leaves
                </dd>
              </div>
            ))}
          </dl>
        )}
      </Pending>
      <p className="small soft">
        The server says this of itself. <code>bailiwick audit export</code> and <code>bailiwick-verify</code> check it without the server.
      </p>
    </section>
  );
}
