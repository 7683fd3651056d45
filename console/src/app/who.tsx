// Ids as the names that whoever looks may know.

import { useQuery } from '@tanstack/react-query';
import { agents, me, people } from '../api/questions';

export type Names = (id: string | null | undefined) => string;

/** Says who an id is. What one may not look up is said by kind and the end of its id. */
export function useNames(): Names {
  const known = useQuery(me).data;
  const colleagues = useQuery(agents).data;
  const may = known?.scopes.includes('people:read') ?? false;
  const others = useQuery({ ...people, enabled: may }).data;
  return (id) => {
    if (!id) return 'nobody';
    if (id === known?.user?.id) return 'you';
    const agent = colleagues?.data.find((one) => one.id === id);
    if (agent) return agent.name ?? 'a colleague without a name';
    const person = others?.data.find((one) => one.id === id);
    if (person) return person.name;
    return short(id);
  };
}

const KINDS: Record<string, string> = {
  user: 'person',
  agent: 'colleague',
  key: 'program',
  team: 'team',
  sess: 'work',
  act: 'action',
};

export function short(id: string): string {
  const [kind = '', rest = ''] = id.split('_');
  return `${KINDS[kind] ?? kind} …${rest.slice(-6)}`;
}
