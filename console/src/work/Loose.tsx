// What a piece of work waits for besides approvals: outcomes that nobody knows, and answers of an application.

import { useId, useState, type FormEvent } from 'react';
import { prose, exact } from '../text/visible';
import { Problem } from '../ui/Pending';
import { answerCall, resolve, type Resolution } from './orders';
import type { Session } from './story';
import { Long } from './Long';

export function Loose({ session }: { session: Session }) {
  const calls = session.required_actions.filter((one) => one.type === 'function_call');
  const executor = session.required_actions.some((one) => one.type === 'environment_connection');
  if (session.bailiwick.unresolved.length === 0 && calls.length === 0 && !executor) return null;
  return (
    <section aria-label="Open ends" className="stack">
      {session.bailiwick.unresolved.map((one) => (
        <Unknown key={one.action} session={session.id} one={one} />
      ))}
      {calls.map((call) => (
        <Call key={call.call_id} session={session.id} call={call} />
      ))}
      {executor ? <p className="note warn">It waits for its machine to connect.</p> : null}
    </section>
  );
}

const ANSWERS: [Resolution, string][] = [
  ['happened', 'It happened'],
  ['did_not_happen', 'It did not happen'],
  ['do_again', 'Do it again'],
];

/** An action whose outcome nobody knows: a person looks, and says. */
export function Unknown({ session, one }: { session: string; one: Session['bailiwick']['unresolved'][number] }) {
  const [problem, setProblem] = useState<unknown>();
  const [said, setSaid] = useState(false);
  const answer = (resolution: Resolution) => {
    setProblem(undefined);
    resolve(session, one.action, resolution)
      .then(() => setSaid(true))
      .catch(setProblem);
  };
  return (
    <div className="card stack-small ask">
      <h2>Did this happen?</h2>
      <p>
        <strong>{exact(one.what)}</strong> ({one.operation})
      </p>
      <p className="soft">{prose(one.reason)} It is not done again before somebody says what became of it.</p>
      <div className="row">
        {ANSWERS.map(([resolution, words]) => (
          <button key={resolution} type="button" className="button" disabled={said} onClick={() => answer(resolution)}>
            {words}
          </button>
        ))}
      </div>
      {problem ? <Problem error={problem} /> : null}
    </div>
  );
}

function Call({ session, call }: { session: string; call: Extract<Session['required_actions'][number], { type: 'function_call' }> }) {
  const [problem, setProblem] = useState<unknown>();
  const field = useId();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const output = new FormData(event.currentTarget).get('output');
    answerCall(session, call.turn_id, call.call_id, typeof output === 'string' ? output : '').catch(setProblem);
  };
  return (
    <form className="card stack-small ask" onSubmit={submit}>
      <h2>
        It waits for an answer: <code>{exact(call.name)}</code>
      </h2>
      <Long title="Asked" text={exact(JSON.stringify(call.arguments, null, 2))} />
      <div className="field">
        <label htmlFor={field}>Your answer, if no application gives it</label>
        <textarea id={field} name="output" className="input" required />
      </div>
      {problem ? <Problem error={problem} /> : null}
      <div>
        <button className="button primary">Answer</button>
      </div>
    </form>
  );
}
