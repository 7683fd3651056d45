import { useQueries, useQuery } from '@tanstack/react-query';
import { Link, useParams } from 'react-router';
import { api, told, type Schemas } from '../api/client';
import { me, receipts, sessions } from '../api/questions';
import { useNames } from '../app/who';
import { costOf } from '../receipts/cost';
import { at, money } from '../text/formats';
import { oneLine, prose } from '../text/visible';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { When } from '../ui/When';
import { purpose } from '../work/Home';
import { StatusBadge, titleOf } from '../work/parts';
import { reachOf } from './reach';

type Agent = Schemas['Agent'];

export default function Colleague() {
  const { agent = '' } = useParams();
  const found = useQuery({
    queryKey: ['agent', agent],
    queryFn: () => told(api.GET('/v1/agents/{agent_id}', { params: { path: { agent_id: agent } } })),
  });
  return <Pending of={found}>{(one) => <Shown one={one} />}</Pending>;
}

function Shown({ one }: { one: Agent }) {
  const names = useNames();
  const name = one.name ? oneLine(one.name, 60) : 'No name';
  const { bailiwick } = one;
  const works = bailiwick.status === 'active' && bailiwick.published_version != null;
  return (
    <Page
      title={name}
      lead={purpose(one)}
      beside={
        works ? (
          <Link to={`/?with=${one.id}`} className="button primary">
            Give it work
          </Link>
        ) : (
          <span className="badge warn">{bailiwick.status}</span>
        )
      }
    >
      <div className="stack">
        <section className="card stack-small" aria-labelledby="reach">
          <h2 id="reach">What it may do</h2>
          <ul className="bullets">
            {reachOf(one).map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
          <p className="small soft">
            Each step is asked of the organisation’s rules besides, for it and for you, and leaves a receipt. It never may more than
            you.
          </p>
        </section>
        <Cost agent={one} />
        <section className="card stack-small" aria-label="Who answers for it">
          <dl className="facts">
            <div>
              <dt>Answers for it</dt>
              <dd>{names(bailiwick.owner)}</dd>
            </div>
            <div>
              <dt>Deputy</dt>
              <dd>{names(bailiwick.deputy)}</dd>
            </div>
            <div>
              <dt>Thinks with</dt>
              <dd>{one.model}</dd>
            </div>
            <div>
              <dt>Version</dt>
              <dd>
                {bailiwick.version} ({bailiwick.state}), written {at(one.updated_at)}
              </dd>
            </div>
          </dl>
          {one.instructions ? (
            <details>
              <summary className="soft">What it was told</summary>
              <pre className="verbatim">{prose(one.instructions)}</pre>
            </details>
          ) : null}
        </section>
      </div>
    </Page>
  );
}

/** From how many past pieces of work a likely cost is said. */
const PAST = 5;

/** What it cost so far, out of one's own receipts. */
function Cost({ agent }: { agent: Agent }) {
  const past = useQuery(sessions(agent.id)).data?.data ?? [];
  const known = useQuery(me).data;
  const newest = past.slice(0, PAST);
  const costs = useQueries({ queries: newest.map((one) => receipts(one.id)) });
  const sums = costs.flatMap((one) => (one.data ? [costOf(one.data)] : []));
  const mean = sums.reduce((sum, one) => sum + one, 0) / sums.length;
  return (
    <section className="card stack-small" aria-labelledby="cost">
      <h2 id="cost">What it costs</h2>
      {past.length === 0 ? (
        <p className="soft">You have not worked with it yet. Afterwards its cost is here, out of the receipts.</p>
      ) : sums.length < newest.length ? (
        <p className="soft">One moment…</p>
      ) : (
        <p>
          {sums.length === 1 ? 'Your last piece of work' : `Your last ${sums.length} pieces of work`} cost {money(mean, known?.currency)}
          {sums.length > 1 ? ` on average, between ${money(Math.min(...sums))} and ${money(Math.max(...sums), known?.currency)}` : ''}.
        </p>
      )}
      {newest.length > 0 ? (
        <ul className="list">
          {newest.map((one, index) => (
            <li key={one.id}>
              <Link to={`/work/${one.id}`}>{titleOf(one)}</Link>
              <span className="row small soft">
                <StatusBadge session={one} />
                {costs[index]?.data ? money(costOf(costs[index].data), known?.currency) : null}
                <When seconds={one.last_active_at} />
              </span>
            </li>
          ))}
        </ul>
      ) : null}
    </section>
  );
}
