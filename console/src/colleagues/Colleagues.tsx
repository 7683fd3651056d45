import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { agents } from '../api/questions';
import { oneLine } from '../text/visible';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { purpose } from '../work/Home';

/** Everybody one can work with, or could. */
export default function Colleagues() {
  return (
    <Page title="Colleagues" lead="What each is for, what it may reach, and what it costs." wide>
      <Pending of={useQuery(agents)}>
        {({ data }) =>
          data.length === 0 ? (
            <div className="empty">
              <h2>There is no colleague yet</h2>
              <p>Somebody with the role of a builder makes one.</p>
            </div>
          ) : (
            <ul className="cards">
              {data.map((one) => (
                <li key={one.id} className="card stack-small">
                  <h2>
                    <Link to={`/colleagues/${one.id}`}>{one.name ? oneLine(one.name, 60) : 'No name'}</Link>
                  </h2>
                  <p className="soft">{purpose(one)}</p>
                  {one.bailiwick.status === 'active' ? (
                    <p>
                      <Link to={`/?with=${one.id}`} className="button small">
                        Give it work<span className="unseen"> to {one.name}</span>
                      </Link>
                    </p>
                  ) : (
                    <p>
                      <span className="badge warn">{one.bailiwick.status === 'retired' ? 'Retired' : 'Suspended'}</span>
                    </p>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Pending>
    </Page>
  );
}
