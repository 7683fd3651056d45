// Who are you? Asked in place of the page that somebody wanted, which comes back by itself.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useState, type FormEvent } from 'react';
import { api, rememberPage, told } from '../api/client';
import { me } from '../api/questions';
import { Dialog } from '../ui/Dialog';
import { Problem } from '../ui/Pending';

/** The whole page, for whoever comes. */
export function SignIn() {
  const client = useQueryClient();
  const [code, setCode] = useState(false);
  return (
    <main className="sign-in">
      <div className="card stack">
        <p className="brand">
          <img src="/icon.svg" alt="" /> Bailiwick
        </p>
        <h1>{code ? 'Choose a password' : 'Sign in'}</h1>
        {window.isSecureContext ? null : (
          <p className="note warn">
            Nobody can stay signed in here: this address is not protected, and browsers keep no sign-in from it. Use its{' '}
            <code>https</code> address.
          </p>
        )}
        {code ? (
          <SetUp done={() => setCode(false)} />
        ) : (
          <Ways done={() => void client.invalidateQueries({ queryKey: me.queryKey })} />
        )}
        <p className="small soft">
          {code ? 'You have a password? ' : 'An administrator gave you a code? '}
          <button type="button" className="link" onClick={() => setCode(!code)}>
            {code ? 'Sign in' : 'Choose a password with it'}
          </button>
        </p>
      </div>
    </main>
  );
}

/** Over the page, when a sign-in ended in the middle of something: what was written stays. */
export function SignInAgain({ done }: { done: () => void }) {
  const client = useQueryClient();
  const before = client.getQueryData(me.queryKey)?.user?.id;
  const back = (person: string) => {
    // Somebody else sees nothing of what was here.
    if (person !== before) return window.location.reload();
    void client.invalidateQueries();
    window.dispatchEvent(new Event('online'));
    done();
  };
  return (
    <Dialog title="Your sign-in has ended">
      <p>Sign in again, and go on where you were. What you wrote is still here.</p>
      <Ways done={back} />
    </Dialog>
  );
}

function Ways({ done }: { done: (person: string) => void }) {
  const [organisation, setOrganisation] = useState('');
  const [elsewhere, setElsewhere] = useState(false);
  const ways = useQuery({
    queryKey: ['ways', organisation],
    queryFn: () => told(api.GET('/bailiwick/v1/sign-in', { params: { query: named(organisation) } })),
    retry: false,
  });
  const here = window.location.pathname + window.location.search;
  const leads = new URLSearchParams({ next: here === '/sign-in' ? '/' : here, ...named(organisation) });
  const field = useId();
  return (
    <>
      {ways.data?.provider ? (
        <>
          <a className="button primary" href={`/bailiwick/v1/sign-in/provider?${leads.toString()}`}>
            Sign in with your company’s account
          </a>
          <p className="or soft small">or with a password of this server</p>
        </>
      ) : null}
      <Password organisation={organisation} main={!ways.data?.provider} done={done} />
      {elsewhere ? (
        <div className="field">
          <label htmlFor={field}>Organisation</label>
          <input id={field} className="input" value={organisation} onChange={(event) => setOrganisation(event.target.value)} />
        </div>
      ) : (
        <button type="button" className="link small" onClick={() => setElsewhere(true)}>
          Another organisation
        </button>
      )}
    </>
  );
}

function named(organisation: string): { organisation?: string } {
  const name = organisation.trim();
  return name ? { organisation: name } : {};
}

function Password(given: { organisation: string; main: boolean; done: (person: string) => void }) {
  const [problem, setProblem] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [login, password] = [useId(), useId()];
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const body = { login: text(form, 'login'), password: text(form, 'password'), medium: 'browser' as const };
    setBusy(true);
    setProblem(undefined);
    try {
      const signed = await told(api.POST('/bailiwick/v1/sign-in', { body: { ...body, ...named(given.organisation) } }));
      rememberPage(signed.page_token);
      given.done(signed.user.id);
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form className="stack" onSubmit={(event) => void submit(event)}>
      <div className="field">
        <label htmlFor={login}>Name</label>
        <input id={login} name="login" className="input" autoComplete="username" autoCapitalize="none" required />
      </div>
      <div className="field">
        <label htmlFor={password}>Password</label>
        <input id={password} name="password" type="password" className="input" autoComplete="current-password" required />
      </div>
      {problem ? <Problem error={problem} /> : null}
      <button className={given.main ? 'button primary' : 'button'} disabled={busy}>
        Sign in
      </button>
    </form>
  );
}

function SetUp({ done }: { done: () => void }) {
  const [problem, setProblem] = useState<unknown>();
  const [code, password, again] = [useId(), useId(), useId()];
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    if (form.get('password') !== form.get('again')) return setProblem(new Error('The two passwords are not the same.'));
    const body = { code: text(form, 'code').trim(), password: text(form, 'password') };
    try {
      await told(api.POST('/bailiwick/v1/sign-in/set-up', { body }));
      done();
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <form className="stack" onSubmit={(event) => void submit(event)}>
      <div className="field">
        <label htmlFor={code}>Code</label>
        <input id={code} name="code" className="input" autoComplete="one-time-code" required />
      </div>
      <div className="field">
        <label htmlFor={password}>Password, at least 12 characters</label>
        <input id={password} name="password" type="password" minLength={12} className="input" autoComplete="new-password" required />
      </div>
      <div className="field">
        <label htmlFor={again}>The same password again</label>
        <input id={again} name="again" type="password" className="input" autoComplete="new-password" required />
      </div>
      {problem ? <Problem error={problem} /> : null}
      <button className="button primary">Choose it</button>
    </form>
  );
}

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === 'string' ? value : '';
}
