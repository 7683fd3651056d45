// Everything that waits for whoever looks: approvals, outcomes that nobody knows, and words that want to be remembered.

import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { approvals, memories, sessions } from '../api/questions';
import { useMay } from '../app/rights';
import { Page } from '../ui/Page';
import { Pending } from '../ui/Pending';
import { Unknown } from '../work/Loose';
import { titleOf } from '../work/parts';
import { Accounts } from './Accounts';
import { ApprovalCard } from './ApprovalCard';
import { Standing } from './Standing';

export default function Inbox() {
  const asked = useQuery(approvals);
  const work = useQuery(sessions()).data?.data ?? [];
  const open = work.filter((one) => one.bailiwick.unresolved.length > 0);
  const proposed = useQuery(memories).data?.data.filter((one) => one.state === 'proposed') ?? [];
  const may = useMay();
  return (
    <Page title="Inbox" lead="What waits for your word.">
      <Pending of={asked}>
        {({ data }) => {
          const mine = data.filter((one) => one.may_answer);
          const others = data.filter((one) => !one.may_answer);
          const nothing = mine.length + open.length + proposed.length === 0;
          return (
            <div className="stack">
              {nothing ? (
                <div className="empty">
                  <h2>Nothing waits for you</h2>
                  <p>When a colleague needs your word, it is here, and the number beside “Inbox” says so.</p>
                </div>
              ) : null}
              {mine.map((one) => (
                <ApprovalCard key={one.id} approval={one} />
              ))}
              {may('sessions:write')
                ? open.map((session) => (
                    <section key={session.id} className="stack-small">
                      <p className="small">
                        From <Link to={`/work/${session.id}`}>{titleOf(session)}</Link>
                      </p>
                      {session.bailiwick.unresolved.map((one) => (
                        <Unknown key={one.action} session={session.id} one={one} />
                      ))}
                    </section>
                  ))
                : null}
              {proposed.length > 0 ? (
                <p className="note warn">
                  Something wants to be remembered about you that nobody has vouched for. <Link to="/memory">Look at it</Link>
                </p>
              ) : null}
              <Standing />
              <Accounts />
              {others.length > 0 ? (
                <section className="stack">
                  <h2>Waits for somebody else</h2>
                  {others.map((one) => (
                    <ApprovalCard key={one.id} approval={one} />
                  ))}
                </section>
              ) : null}
            </div>
          );
        }}
      </Pending>
    </Page>
  );
}
