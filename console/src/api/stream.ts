// A session's events as they come, through lost connections and servers that start again.
//
// The place in the stream is what the server's `id:` lines said last; whoever comes back with it is told every record
// after it, and what is being written as it stands now. Nothing is lost, and nothing final is told differently.

import { refusal, type Schemas } from './client';

export type SessionEvent = Schemas['AgentSessionEvent'];

export type Line = 'connecting' | 'live' | 'lost' | 'closed' | 'gone';

/** The beginning of every stream. */
const BEGINNING = '0.0';
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 8000;
/** The server says something every 15 s; a line that is silent for longer than this is dead. */
const SILENCE_MS = 40_000;
/** A page that nobody has looked at for this long gives its line back: a browser has few of them for one server. */
const HIDDEN_MS = 30_000;

export interface Listener {
  /** Events in their order; several at a time when they come fast. */
  hear(events: SessionEvent[]): void;
  line(state: Line): void;
}

/** Follows a session until it is stopped. Returns what stops it. */
export function follow(session: string, listener: Listener): () => void {
  const stop = new AbortController();
  void run(session, listener, stop.signal);
  return () => stop.abort();
}

async function run(session: string, listener: Listener, stop: AbortSignal): Promise<void> {
  const place = { last: BEGINNING };
  let wait = FIRST_WAIT_MS;
  listener.line('connecting');
  while (!stop.aborted) {
    await seen(stop);
    if (stop.aborted) return;
    const end = await once(session, listener, stop, place, () => {
      wait = FIRST_WAIT_MS;
      listener.line('live');
    });
    if (stop.aborted) return;
    if (end !== 'again') return listener.line(end);
    if (document.hidden) {
      listener.line('connecting');
      continue;
    }
    listener.line('lost');
    await rest(wait + Math.random() * wait, stop);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

/** One connection, to its end. */
async function once(
  session: string,
  listener: Listener,
  stop: AbortSignal,
  place: { last: string },
  opened: () => void,
): Promise<'again' | 'closed' | 'gone'> {
  const line = new AbortController();
  const cut = () => line.abort();
  stop.addEventListener('abort', cut);
  let silence = setTimeout(cut, SILENCE_MS);
  let hidden: ReturnType<typeof setTimeout> | undefined;
  const looked = () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(cut, HIDDEN_MS);
  };
  document.addEventListener('visibilitychange', looked);
  try {
    const path = `/v1/agents/sessions/${encodeURIComponent(session)}/events?include_obfuscation=false`;
    const headers = { accept: 'text/event-stream', 'last-event-id': place.last };
    const response = await fetch(path, { headers, signal: line.signal, credentials: 'same-origin' });
    if (!response.ok || !response.body) {
      const body: unknown = await response.json().catch(() => undefined);
      const refused = refusal(response.status, body);
      if (refused.status === 404 || refused.status === 403 || refused.status === 410) return 'gone';
      return refused.status === 401 ? 'closed' : 'again';
    }
    opened();
    for await (const told of messages(response.body)) {
      clearTimeout(silence);
      silence = setTimeout(cut, SILENCE_MS);
      const last = told.findLast((one) => one.id !== undefined)?.id;
      const events = told.flatMap((one) => (one.data === '' ? [] : [JSON.parse(one.data) as SessionEvent]));
      if (events.length > 0) listener.hear(events);
      if (last !== undefined) place.last = last;
    }
    return 'again';
  } catch {
    return 'again';
  } finally {
    clearTimeout(silence);
    clearTimeout(hidden);
    document.removeEventListener('visibilitychange', looked);
    stop.removeEventListener('abort', cut);
    line.abort();
  }
}

interface Message {
  id?: string;
  data: string;
}

/** What a body of the type `text/event-stream` says, as many messages at once as a piece of it completes. */
export async function* messages(body: ReadableStream<Uint8Array>): AsyncGenerator<Message[]> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop() ?? '';
    yield blocks.map(message);
  }
}

function message(block: string): Message {
  let id: string | undefined;
  const data: string[] = [];
  for (const line of block.split('\n')) {
    if (line.startsWith('data:')) data.push(line.slice(5).trimStart());
    else if (line.startsWith('id:')) id = line.slice(3).trim();
  }
  return { id, data: data.join('\n') };
}

/** Waits until somebody looks at the page. */
function seen(stop: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !stop.aborted) return;
      document.removeEventListener('visibilitychange', look);
      stop.removeEventListener('abort', look);
      done();
    };
    document.addEventListener('visibilitychange', look);
    stop.addEventListener('abort', look);
  });
}

function rest(ms: number, stop: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(finish, ms);
    function finish() {
      clearTimeout(timer);
      stop.removeEventListener('abort', finish);
      window.removeEventListener('online', finish);
      done();
    }
    stop.addEventListener('abort', finish);
    // A machine that wakes up does not wait.
    window.addEventListener('online', finish);
  });
}
