import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useState, type FormEvent } from 'react';
import { api, told } from '../api/client';
import { useMay } from '../app/rights';
import { useNames } from '../app/who';
import { prose } from '../text/visible';
import { Dialog } from '../ui/Dialog';
import { Problem } from '../ui/Pending';
import { When } from '../ui/When';

/** What a stop is about: an id, or `everything`. */
export interface Target {
  id: string;
  name: string;
}

/** What is stopped now, with the way to lift it. */
export function Stops() {
  const client = useQueryClient();
  const names = useNames();
  const may = useMay()('sessions:stop');
  const [problem, setProblem] = useState<unknown>();
  const all = useQuery({ queryKey: ['stops'], refetchInterval: 10_000, queryFn: () => told(api.GET('/bailiwick/v1/stops')) });
  const found = all.data?.data ?? [];
  const lift = (target: string, scope: string) => {
    const path = { target: scope === 'tenant' ? 'everything' : target };
    told(api.DELETE('/bailiwick/v1/stops/{target}', { params: { path } }))
      .then(() => client.invalidateQueries({ queryKey: ['stops'] }))
      .catch(setProblem);
  };
  if (found.length === 0) return null;
  return (
    <section className="stack-small" aria-label="Stopped">
      {found.map((one) => (
        <div key={one.target} className="note warn row apart">
          <span>
            <strong>{one.scope === 'tenant' ? 'Everything is stopped' : `Stopped: ${names(one.target)}`}</strong>
            {one.reason ? `: ${prose(one.reason)}` : ''} <span className="small">by {names(one.by)} <When seconds={one.since} /></span>
          </span>
          {may ? (
            <button type="button" className="button small" onClick={() => lift(one.target, one.scope)}>
              Let it work again
            </button>
          ) : null}
        </div>
      ))}
      {problem ? <Problem error={problem} /> : null}
    </section>
  );
}

/** Asks why before it stops something. */
export function StopQuestion({ target, done, close }: { target: Target; done: () => void; close: () => void }) {
  const [problem, setProblem] = useState<unknown>();
  const field = useId();
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const reason = new FormData(event.currentTarget).get('reason');
    const body = { target: target.id, reason: typeof reason === 'string' && reason.trim() ? reason.trim() : null };
    told(api.POST('/bailiwick/v1/stops', { body })).then(done).catch(setProblem);
  };
  return (
    <Dialog title={`Stop ${target.name}?`} close={close}>
      <p>What runs ends within two seconds, and nothing new begins until somebody lifts the stop.</p>
      <form className="stack" onSubmit={submit}>
        <div className="field">
          <label htmlFor={field}>Why? Whoever watches is told.</label>
          <input id={field} name="reason" className="input" maxLength={500} />
        </div>
        {problem ? <Problem error={problem} /> : null}
        <div className="row">
          <button className="button danger">Stop</button>
          <button type="button" className="button bare" onClick={close}>
            Leave it
          </button>
        </div>
      </form>
    </Dialog>
  );
}
