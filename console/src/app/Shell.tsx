import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';
import { Link, NavLink, useLocation } from 'react-router';
import { api, SIGNED_OUT, told } from '../api/client';
import { approvals, me, sessions } from '../api/questions';
import { SignInAgain } from '../signin/SignIn';
import { Dialog } from '../ui/Dialog';
import { Icon, type IconName } from '../ui/Icon';
import { StatusDot, titleOf } from '../work/parts';
import { CONSOLE_SCOPES, useMay } from './rights';
import { choose, chosen, type Theme } from './theme';

/** The frame around every page: where one can go, and who one is. */
export function Shell({ children }: { children: ReactNode }) {
  const [out, setOut] = useState(false);
  const { pathname } = useLocation();
  const may = useMay();
  useEffect(() => {
    const ended = () => setOut(true);
    window.addEventListener(SIGNED_OUT, ended);
    return () => window.removeEventListener(SIGNED_OUT, ended);
  }, []);
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [pathname]);
  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <div className="shell">
        <div className="side">
          <Link to="/" className="brand" aria-label="Bailiwick, to the beginning">
            <img src="/icon.svg" alt="" /> Bailiwick
          </Link>
          {may('sessions:write') ? (
            <Link to="/" className="button primary">
              <Icon name="plus" /> New work
            </Link>
          ) : null}
          <Places />
          <Recent />
          <Person />
        </div>
        <main id="content" tabIndex={-1}>
          {children}
        </main>
      </div>
      {out ? <SignInAgain done={() => setOut(false)} /> : null}
    </>
  );
}

function Places() {
  const may = useMay();
  const waiting = useQuery(approvals).data?.data.filter((one) => one.may_answer).length ?? 0;
  return (
    <nav aria-label="Places">
      <div className="places">
        <Place to="/work" icon="work" name="Work" />
        <Place to="/colleagues" icon="colleagues" name="Colleagues" />
        <Place to="/inbox" icon="inbox" name="Inbox" count={waiting} />
        <Place to="/memory" icon="memory" name="Memory" />
        {CONSOLE_SCOPES.some(may) ? <Place to="/console" icon="console" name="Console" /> : null}
      </div>
    </nav>
  );
}

function Place({ to, icon, name, count = 0 }: { to: string; icon: IconName; name: string; count?: number }) {
  return (
    <NavLink to={to}>
      <Icon name={icon} /> {name}
      {count > 0 ? (
        <span className="count">
          {count}
          <span className="unseen"> waiting for you</span>
        </span>
      ) : null}
    </NavLink>
  );
}

const RECENT = 8;

function Recent() {
  const all = useQuery(sessions()).data?.data ?? [];
  const myself = useQuery(me).data?.user?.id;
  const mine = all.filter((one) => !myself || one.bailiwick.subject === myself);
  if (mine.length === 0) return null;
  return (
    <nav className="recent" aria-labelledby="recent-work">
      <h2 id="recent-work">Recent work</h2>
      {mine.slice(0, RECENT).map((session) => (
        <NavLink key={session.id} to={`/work/${session.id}`}>
          <StatusDot session={session} />
          <span>{titleOf(session)}</span>
        </NavLink>
      ))}
    </nav>
  );
}

function Person() {
  const known = useQuery(me).data;
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const name = known?.user?.name ?? known?.principal ?? '';
  const leave = async () => {
    const gone = await told(api.POST('/bailiwick/v1/sign-out', { body: undefined as never }));
    client.clear();
    window.location.assign(gone.provider_url ?? '/');
  };
  return (
    <div className="side-end">
      <button type="button" className="button bare small" onClick={() => setOpen(true)}>
        {name}
        <span className="unseen">, settings and signing out</span>
      </button>
      {open ? (
        <Dialog title={name} close={() => setOpen(false)}>
          <p className="soft">
            {known?.user?.login ? `${known.user.login} · ` : ''}
            {known?.user?.roles.join(', ')}
          </p>
          <ThemeChoice />
          <p className="small">
            <a href="/licences.txt">What these pages are made of</a>
          </p>
          <div className="row apart">
            <button type="button" className="button" onClick={() => void leave()}>
              <Icon name="leave" /> Sign out
            </button>
            <button type="button" className="button bare" onClick={() => setOpen(false)}>
              Close
            </button>
          </div>
        </Dialog>
      ) : null}
    </div>
  );
}

function ThemeChoice() {
  const [theme, setTheme] = useState(chosen);
  const pick = (next: Theme) => {
    choose(next);
    setTheme(next);
  };
  return (
    <fieldset className="row">
      <legend className="label">How the pages look</legend>
      {(['system', 'light', 'dark'] as const).map((one) => (
        <label key={one} className="row small">
          <input type="radio" name="theme" checked={theme === one} onChange={() => pick(one)} />
          {one === 'system' ? 'as the system' : one}
        </label>
      ))}
    </fieldset>
  );
}
