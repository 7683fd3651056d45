// What the pages ask of the server, each under one name, so that an answer is kept once and asked again together.

import { queryOptions } from '@tanstack/react-query';
import { api, rememberPage, told, type Schemas } from './client';

const SECOND = 1000;

export const me = queryOptions({
  queryKey: ['me'],
  staleTime: 60 * SECOND,
  queryFn: async () => {
    const known = await told(api.GET('/bailiwick/v1/me'));
    rememberPage(known.page_token);
    return known;
  },
});

export const agents = queryOptions({
  queryKey: ['agents'],
  staleTime: 30 * SECOND,
  queryFn: () => told(api.GET('/v1/agents', { params: { query: { limit: 100 } } })),
});

export const sessions = (agent?: string) =>
  queryOptions({
    queryKey: ['sessions', agent ?? 'all'],
    staleTime: 2 * SECOND,
    refetchInterval: 15 * SECOND,
    queryFn: () => told(api.GET('/v1/agents/sessions', { params: { query: { limit: 50, agent_id: agent } } })),
  });

export const approvals = queryOptions({
  queryKey: ['approvals'],
  staleTime: SECOND,
  refetchInterval: 5 * SECOND,
  queryFn: () => told(api.GET('/bailiwick/v1/approvals', { params: { query: { limit: 100 } } })),
});

export const artifacts = (session: string) =>
  queryOptions({
    queryKey: ['artifacts', session],
    queryFn: () =>
      told(
        api.GET('/v1/agents/sessions/{session_id}/artifacts', {
          params: { path: { session_id: session }, query: { limit: 100 } },
        }),
      ),
  });

/** Most records that are read of one session. */
const MOST_RECEIPTS = 5000;
const RECEIPTS_AT_ONCE = 1000;

export const receipts = (session: string) =>
  queryOptions({
    queryKey: ['receipts', session],
    queryFn: async () => {
      const all: Schemas['Receipt'][] = [];
      for (let after: string | undefined; all.length < MOST_RECEIPTS; ) {
        const query = { limit: RECEIPTS_AT_ONCE, after };
        const params = { path: { session_id: session }, query };
        const page = await told(api.GET('/bailiwick/v1/sessions/{session_id}/receipts', { params }));
        all.push(...page.data);
        if (!page.has_more || !page.last_id) break;
        after = page.last_id;
      }
      return all;
    },
  });

export const memories = queryOptions({
  queryKey: ['memories'],
  queryFn: () => told(api.GET('/bailiwick/v1/memories', { params: { query: { limit: 100 } } })),
});

export const people = queryOptions({
  queryKey: ['people'],
  staleTime: 300 * SECOND,
  queryFn: () => told(api.GET('/bailiwick/v1/people', { params: { query: { limit: 100 } } })),
});

export const teams = queryOptions({
  queryKey: ['teams'],
  staleTime: 300 * SECOND,
  queryFn: () => told(api.GET('/bailiwick/v1/teams', { params: { query: { limit: 100 } } })),
});
