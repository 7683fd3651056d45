// The one way to the server: typed by its own OpenAPI document, in the rights of whoever signed in.
//
// Who it is, says a cookie that no script can read. What changes something also carries the page's word, which the server
// tells at the sign-in and with `GET /bailiwick/v1/me`: another site's page cannot know it.

import createClient from 'openapi-fetch';
import type { components, paths } from '../../dist/api/schema';

export type Schemas = components['schemas'];

/** Told when a request was refused because nobody is signed in any more. */
export const SIGNED_OUT = 'bailiwick:signed-out';
export const PAGE_HEADER = 'x-bailiwick-page';

let pageToken = '';

export function rememberPage(token: string | null | undefined): void {
  if (token) pageToken = token;
}

export function pageWord(): string {
  return pageToken;
}

export const api = createClient<paths>({ baseUrl: window.location.origin, credentials: 'same-origin' });

api.use({
  onRequest({ request }) {
    if (request.method !== 'GET' && pageToken) request.headers.set(PAGE_HEADER, pageToken);
    return request;
  },
});

/** An answer that is no success, in the server's own words. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly param?: string | null,
  ) {
    super(message);
    this.name = 'Refusal';
  }

  /** Whether the same request may well be answered in a moment. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** The data of an answer; a refusal is thrown. */
export async function told<T>(pending: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await pending;
  } catch {
    throw new Refusal(0, 'unreachable', 'The server cannot be reached. Your connection or the server is down.');
  }
  if (answer.response.ok) return answer.data as T;
  throw refusal(answer.response.status, answer.error);
}

export function refusal(status: number, body: unknown): Refusal {
  const error = isRecord(body) && isRecord(body.error) ? body.error : {};
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  const code = text(error.code) ?? String(status);
  if (status === 401 && code !== 'sign_in_failed') {
    window.dispatchEvent(new Event(SIGNED_OUT));
    // The server's own words are about keys, for programs.
    return new Refusal(status, code, 'Your sign-in had ended, so this was not done.');
  }
  return new Refusal(status, code, text(error.message) ?? `The server answered with ${status}.`, text(error.param));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

export function words(error: unknown): string {
  return error instanceof Error ? error.message : 'Something went wrong.';
}
