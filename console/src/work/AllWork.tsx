import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { api, told } from '../api/client';
import { useNames } from '../app/who';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { When } from '../ui/When';
import { nameOf, StatusBadge, titleOf } from './parts';

const AT_ONCE = 50;

/** Every piece of work that one may see, newest first. */
export default function AllWork() {
  const names = useNames();
  const pages = useInfiniteQuery({
    queryKey: ['sessions', 'pages'],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      told(api.GET('/v1/agents/sessions', { params: { query: { limit: AT_ONCE, after: pageParam } } })),
    getNextPageParam: (last) => (last.has_more ? (last.last_id ?? undefined) : undefined),
  });
  return (
    <Page title="Work" lead="Everything that you gave to colleagues, and what others share with you.">
      <Pending of={pages}>
        {({ pages: all }) => {
          const sessions = all.flatMap((page) => page.data);
          if (sessions.length === 0) return <Nothing />;
          return (
            <ul className="list">
              {sessions.map((session) => (
                <li key={session.id}>
                  <Link to={`/work/${session.id}`}>{titleOf(session)}</Link>
                  <span className="row small soft">
                    <StatusBadge session={session} />
                    {nameOf(session)}
                    <span>for {names(session.bailiwick.subject ?? session.bailiwick.orderer)}</span>
                    <When seconds={session.last_active_at} />
                  </span>
                </li>
              ))}
            </ul>
          );
        }}
      </Pending>
      {pages.hasNextPage ? (
        <button type="button" className="button" disabled={pages.isFetching} onClick={() => void pages.fetchNextPage()}>
          Show older
        </button>
      ) : null}
    </Page>
  );
}

function Nothing() {
  return (
    <div className="empty">
      <h2>Nothing yet</h2>
      <p>
        <Link to="/">Give a colleague something to do</Link>.
      </p>
    </div>
  );
}
