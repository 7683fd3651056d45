// One's own accounts at the company's systems: connected by signing in there, and forgotten at once.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told, type Schemas } from '../api/client';
import { useMay } from '../app/rights';
import { prose } from '../text/visible';
import { useSay } from '../ui/Announcer';
import { Problem } from '../ui/Pending';
import { When } from '../ui/When';

export function Accounts() {
  const may = useMay();
  const all = useQuery({
    queryKey: ['connections'],
    enabled: may('vaults:read'),
    // They are connected in another window.
    refetchOnWindowFocus: 'always',
    queryFn: () => told(api.GET('/bailiwick/v1/connections')),
  });
  const found = all.data?.data ?? [];
  if (found.length === 0) return null;
  return (
    <section className="stack-small" aria-labelledby="accounts">
      <h2 id="accounts">Your accounts at the company’s systems</h2>
      <ul className="list">
        {found.map((one) => (
          <Account key={one.connector} one={one} />
        ))}
      </ul>
    </section>
  );
}

function Account({ one }: { one: Schemas['Connection'] }) {
  const client = useQueryClient();
  const say = useSay();
  const [problem, setProblem] = useState<unknown>();
  const forget = () => {
    told(api.DELETE('/bailiwick/v1/connections/{connector}', { params: { path: { connector: one.connector } } }))
      .then(() => {
        say('Forgotten.');
        return client.invalidateQueries({ queryKey: ['connections'] });
      })
      .catch(setProblem);
  };
  return (
    <li>
      <span>
        {prose(one.connector)} <span className="faint small">{one.host}</span>
        <br />
        <span className="soft small">{prose(one.description)}</span>
      </span>
      {one.connected ? (
        <span className="row small soft">
          {one.connected_at ? <When seconds={one.connected_at} /> : 'connected'}
          <button type="button" className="button small danger" onClick={forget}>
            Forget it<span className="unseen">: {one.connector}</span>
          </button>
        </span>
      ) : (
        <Connect url={one.url} connector={one.connector} />
      )}
      {problem ? <Problem error={problem} /> : null}
    </li>
  );
}

/** Leads to the system's own sign-in, in another window. */
export function Connect({ url, connector }: { url: string; connector: string }) {
  if (!/^https?:\/\//.test(url)) return null;
  return (
    <a className="button small primary" href={url} target="_blank" rel="noopener">
      Connect your account<span className="unseen"> at {connector}</span>
    </a>
  );
}
