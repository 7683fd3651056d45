// A question of the rules to a person: who asks, for whom, why, and exactly what would be done. Everything that is shown is
// the canonical action itself, with what is invisible written out and nothing cut in silence.

import { useQueryClient } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { Link } from 'react-router';
import { api, Refusal, told, words, type Schemas } from '../api/client';
import { useNames } from '../app/who';
import { exact, prose } from '../text/visible';
import { useSay } from '../ui/Announcer';
import { Icon } from '../ui/Icon';
import { When } from '../ui/When';
import { Long } from '../work/Long';
import { Connect } from './Accounts';
import { subjectOf } from './words';
import { Wider, type Choice } from './Wider';

export type Approval = Schemas['Approval'];

export function ApprovalCard({ approval, inWork = false }: { approval: Approval; inWork?: boolean }) {
  const names = useNames();
  const title = useId();
  const what = subjectOf(approval);
  return (
    <article className="card stack ask" aria-labelledby={title}>
      <header>
        <h2 id={title}>
          {exact(approval.agent_name ?? 'A colleague')} asks: {what.question}
        </h2>
        <p className="soft small">
          For {names(approval.actor.split(' ')[0])} · asked <When seconds={approval.asked_at} /> · open until{' '}
          <When seconds={approval.expires_at} />
          {inWork ? null : (
            <>
              {' · '}
              <Link to={`/work/${approval.session_id}`}>See the work</Link>
            </>
          )}
        </p>
      </header>
      <p>
        <strong>Why you are asked:</strong> {prose(approval.reason)} <span className="faint small">(rule {approval.rule})</span>
      </p>
      <Exactly approval={approval} />
      <NeedsAccount approval={approval} />
      <Waiting approval={approval} />
      {approval.may_answer ? <Answer approval={approval} /> : null}
    </article>
  );
}

/** The arguments as they would be used. */
function Exactly({ approval }: { approval: Approval }) {
  const { fields } = subjectOf(approval);
  return (
    <div className="stack-small">
      <p className="label">Exactly this would be done: {exact(approval.what)}</p>
      {fields.map(({ title, text }) => (
        <Long key={title} title={title} text={exact(text)} />
      ))}
      {approval.held?.map((held) => (
        <div key={held.handle} className="note">
          <p className="small">
            In the place of <code>{exact(held.handle)}</code> stands a value from {prose(held.source)}
            {held.cut ? '; this is its beginning' : ''}:
          </p>
          <pre>{exact(held.text)}</pre>
        </div>
      ))}
      <details className="small">
        <summary className="soft">As the receipts have it</summary>
        <pre className="verbatim">{exact(JSON.stringify(approval.arguments, null, 2))}</pre>
        <p className="faint">
          {approval.operation} · digest <code>{approval.digest}</code>
        </p>
      </details>
    </div>
  );
}

/** No yes helps where an account is missing: whoever it has to be of signs in there, and the work goes on by itself. */
function NeedsAccount({ approval }: { approval: Approval }) {
  const { account } = approval;
  if (!account) return null;
  return (
    <div className="note warn row apart">
      <span>
        It needs an account at <strong>{exact(account.connector)}</strong> ({exact(account.host)}), and goes on by itself once it is there.
      </span>
      {account.url ? <Connect url={account.url} connector={account.connector} /> : null}
    </div>
  );
}

/** Whose word is missing, and whose is there. */
function Waiting({ approval }: { approval: Approval }) {
  const names = useNames();
  const whom = approval.approvers.map((one) => {
    if (one.type === 'person') return 'the person for whom it works';
    if (one.team) return `somebody of ${names(one.team)}`;
    return one.role ? `somebody else with the role ${one.role}` : 'a second person';
  });
  if (approval.may_answer && approval.approvers.length < 2 && !approval.given?.length) return null;
  return (
    <p className="note">
      {approval.given?.length ? `${approval.given.map((one) => names(one.by)).join(' and ')} said yes. ` : ''}
      It needs the word of {whom.join(' and of ')}.
    </p>
  );
}

function Answer({ approval }: { approval: Approval }) {
  const client = useQueryClient();
  const say = useSay();
  const [denying, deny] = useState(false);
  const [reason, setReason] = useState('');
  const [wider, widen] = useState<Choice>();
  const [said, setSaid] = useState<string>();
  const [problem, setProblem] = useState<string>();
  const field = useId();

  const answer = async (decision: 'approve' | 'deny') => {
    setSaid(decision === 'approve' ? 'Approved.' : 'Denied.');
    setProblem(undefined);
    try {
      const params = { path: { approval_id: approval.id } };
      const body = decision === 'approve' ? { decision, widen: wider } : { decision, reason: reason.trim() || null };
      await told(api.POST('/bailiwick/v1/approvals/{approval_id}', { params, body }));
      if (wider) void client.invalidateQueries({ queryKey: ['grants'] });
      say(decision === 'approve' ? 'Approved.' : 'Denied.');
    } catch (error) {
      setSaid(undefined);
      const gone = error instanceof Refusal && (error.status === 404 || error.status === 409);
      setProblem(gone ? 'This was answered already, or does not wait any more.' : words(error));
    } finally {
      void client.invalidateQueries({ queryKey: ['approvals'] });
    }
  };

  if (said) return <p role="status">{said}</p>;
  return (
    <div className="stack">
      {denying ? (
        <div className="field">
          <label htmlFor={field}>Why not? The colleague is told, and may find another way.</label>
          <textarea id={field} className="input" maxLength={2000} value={reason} onChange={(event) => setReason(event.target.value)} autoFocus />
        </div>
      ) : (
        <Wider options={approval.account ? [] : (approval.widen ?? [])} chosen={wider} choose={widen} />
      )}
      {problem ? (
        <p className="note bad" role="alert">
          {problem}
        </p>
      ) : null}
      <div className="row">
        {denying || approval.account ? null : (
          <button type="button" className="button primary" onClick={() => void answer('approve')}>
            <Icon name="check" /> {wider ? 'Approve this and the like' : 'Approve'}
          </button>
        )}
        <button type="button" className="button danger" onClick={() => (denying ? void answer('deny') : deny(true))}>
          Deny
        </button>
        {denying ? (
          <button type="button" className="button bare" onClick={() => deny(false)}>
            Back
          </button>
        ) : null}
      </div>
    </div>
  );
}
