import { useQuery } from '@tanstack/react-query';
import { me } from '../api/questions';

/** Whether whoever is signed in has a scope. The server decides; this only hides what would be refused. */
export function useMay(): (scope: string) => boolean {
  const scopes = useQuery(me).data?.scopes ?? [];
  return (scope) => scopes.includes(scope as (typeof scopes)[number]);
}

/** What opens the console to somebody. */
export const CONSOLE_SCOPES = ['tenant:read', 'audit:read', 'spend:read', 'admin'] as const;
