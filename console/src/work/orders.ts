// What a person can tell a colleague: begin, go on, stop, and the like.

import { api, told, type Schemas } from '../api/client';
import { places } from '../api/files';
import { oneLine } from '../text/visible';
import type { Order } from './Composer';
import type { Session } from './story';

type Agent = Schemas['Agent'];

const TITLE = 80;

/** Whether an agent works with commands and files, for which it needs a place. */
export function needsWorkspace(agent: Agent): boolean {
  return agent.bailiwick.remit.allow.some((one) => /^(\*|command|file|environment|artifact)/.test(one));
}

/** Begins a piece of work, once, however often the request is repeated. */
export async function begin(agent: Agent, order: Order, key: string): Promise<Session> {
  const at = places(order.files.map((file) => file.name));
  const files = order.files.map((file, index) => ({ type: 'file_id' as const, file_id: file.id, path: at[index] ?? '' }));
  const hosted = files.length > 0 || needsWorkspace(agent);
  const environment = hosted ? { type: 'openai_hosted' as const, files } : { type: 'none' as const };
  const title = oneLine(order.text, TITLE);
  const input = files.length > 0 ? `${order.text}\n\n${listed(at)}` : order.text;
  const body = { agent_id: agent.id, environment, input, metadata: { title } };
  return told(
    api.POST('/v1/agents/sessions', { params: { header: { 'Idempotency-Key': key } }, body }),
  ) as Promise<Session>;
}

function listed(paths: string[]): string {
  return `Files: ${paths.join(', ')}`;
}

/** Says more: to a turn that runs, or as the beginning of the next. */
export async function say(session: Session, order: Order, key: string): Promise<void> {
  const environment = session.bailiwick.environment?.id;
  const at = places(order.files.map((file) => file.name));
  if (environment) {
    for (const [index, file] of order.files.entries()) {
      const body = { type: 'file_id' as const, file_id: file.id, path: at[index] ?? '' };
      const params = { path: { environment_id: environment } };
      await told(api.POST('/v1/agents/environments/{environment_id}/files', { params, body: body as never }));
    }
  }
  const text = order.files.length > 0 ? `${order.text}\n\n${listed(at)}` : order.text;
  const message = { role: 'user' as const, content: [{ type: 'input_text' as const, text }] };
  await send(session.id, { type: 'agent.session.input.message', input: [message] }, key);
}

export function stop(session: string): Promise<void> {
  return send(session, { type: 'agent.session.input.cancel' }, crypto.randomUUID());
}

/** The answer to a function that an application would give. */
export function answerCall(session: string, turn: string, call: string, output: string): Promise<void> {
  const event = { type: 'agent.session.input.tool_result' as const, call_id: call, turn_id: turn, success: true, output };
  return send(session, event, crypto.randomUUID());
}

async function send(session: string, event: Schemas['EventParam'], key: string): Promise<void> {
  const params = { path: { session_id: session }, header: { 'Idempotency-Key': key } };
  await told(api.POST('/v1/agents/sessions/{session_id}/events', { params, body: { events: [event] } }));
}

export type Resolution = Schemas['ResolveParam']['resolution'];

export async function resolve(session: string, action: string, resolution: Resolution): Promise<void> {
  const params = { path: { session_id: session } };
  await told(api.POST('/bailiwick/v1/sessions/{session_id}/resolve', { params, body: { action, resolution } }));
}
