// Answers that stand for more than once, in the words under which they were given, with the way to end each at once.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, told, type Schemas } from '../api/client';
import { me } from '../api/questions';
import { useMay } from '../app/rights';
import { at } from '../text/formats';
import { prose } from '../text/visible';
import { useSay } from '../ui/Announcer';
import { Problem } from '../ui/Pending';

type Grant = Schemas['Grant'];

export function Standing() {
  const myself = useQuery(me).data?.user?.id;
  const all = useQuery({
    queryKey: ['grants'],
    queryFn: () => told(api.GET('/bailiwick/v1/grants', { params: { query: { limit: 100 } } })),
  });
  const mine = all.data?.data.filter((one) => one.status === 'active' && one.by.includes(myself ?? 'nobody')) ?? [];
  if (mine.length === 0) return null;
  return (
    <section className="stack-small" aria-labelledby="standing">
      <h2 id="standing">Your answers that stand</h2>
      <ul className="list">
        {mine.map((one) => (
          <GrantLine key={one.id} one={one} />
        ))}
      </ul>
    </section>
  );
}

function GrantLine({ one }: { one: Grant }) {
  const client = useQueryClient();
  const say = useSay();
  const may = useMay();
  const [problem, setProblem] = useState<unknown>();
  const end = () => {
    told(api.DELETE('/bailiwick/v1/grants/{grant_id}', { params: { path: { grant_id: one.id ?? '' } } }))
      .then(() => {
        say('It does not stand any more.');
        return client.invalidateQueries({ queryKey: ['grants'] });
      })
      .catch(setProblem);
  };
  return (
    <li>
      <span className="standing-words small">
        {prose(one.words)} <span className="faint">until {at(one.until)}</span>
      </span>
      {may('sessions:write') ? (
        <button type="button" className="button small danger" onClick={end}>
          End it
        </button>
      ) : null}
      {problem ? <Problem error={problem} /> : null}
    </li>
  );
}
