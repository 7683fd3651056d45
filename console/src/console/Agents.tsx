// The register of colleagues: who answers for each, which version works, and how it stands.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { Link } from 'react-router';
import { api, told, type Schemas } from '../api/client';
import { agents } from '../api/questions';
import { useMay } from '../app/rights';
import { useNames } from '../app/who';
import { at } from '../text/formats';
import { Page } from '../ui/Page';
import { Pending, Problem } from '../ui/Pending';

type Agent = Schemas['Agent'];

export default function Agents() {
  const names = useNames();
  const may = useMay()('agents:write');
  const [problem, setProblem] = useState<unknown>();
  const client = useQueryClient();
  const set = (agent: Agent, status: 'active' | 'suspended') => {
    const params = { path: { agent_id: agent.id } };
    told(api.POST('/v1/agents/{agent_id}', { params, body: { bailiwick: { status } } }))
      .then(() => client.invalidateQueries({ queryKey: ['agents'] }))
      .catch(setProblem);
  };
  return (
    <Page title="Colleagues" wide lead="Who answers for each, and which version works.">
      <div className="stack">
        {problem ? <Problem error={problem} /> : null}
        <Pending of={useQuery(agents)}>
          {({ data }) => (
            <div className="scroll" tabIndex={0} role="group" aria-label="Colleagues">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Name</th>
                    <th scope="col">Standing</th>
                    <th scope="col">Answers for it</th>
                    <th scope="col">Deputy</th>
                    <th scope="col">Model</th>
                    <th scope="col" className="number">
                      Version
                    </th>
                    <th scope="col">Changed</th>
                    {may ? <th scope="col">Change</th> : null}
                  </tr>
                </thead>
                <tbody>
                  {data.map((one) => (
                    <tr key={one.id}>
                      <td>
                        <Link to={`/colleagues/${one.id}`}>{one.name ?? 'No name'}</Link>
                      </td>
                      <td>
                        <span className={one.bailiwick.status === 'active' ? 'badge good' : 'badge warn'}>{one.bailiwick.status}</span>
                      </td>
                      <td>{one.bailiwick.owner ? names(one.bailiwick.owner) : <span className="badge bad">nobody</span>}</td>
                      <td>{names(one.bailiwick.deputy)}</td>
                      <td>{one.model}</td>
                      <td className="number">{one.bailiwick.published_version ?? 'draft'}</td>
                      <td>{at(one.updated_at)}</td>
                      {may && one.bailiwick.status !== 'retired' ? (
                        <td>
                          {one.bailiwick.status === 'active' ? (
                            <button type="button" className="button small danger" onClick={() => set(one, 'suspended')}>
                              Suspend<span className="unseen"> {one.name}</span>
                            </button>
                          ) : (
                            <button type="button" className="button small" onClick={() => set(one, 'active')}>
                              Let work<span className="unseen"> {one.name}</span>
                            </button>
                          )}
                        </td>
                      ) : null}
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Pending>
      </div>
    </Page>
  );
}
