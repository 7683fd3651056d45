// What an agent may reach, in plain words. The remit can only take away: rules decide each action besides.

import type { Schemas } from '../api/client';

type Agent = Schemas['Agent'];

const KINDS: [RegExp, string][] = [
  [/^command\./, 'run commands in a workspace of its own, which has no network'],
  [/^file\.(write|edit|delete|\*)/, 'write and change files in its workspace'],
  [/^file\.(read|list|\*)/, 'read the files that it is given'],
  [/^artifact\./, 'hand results over'],
  [/^connector\./, 'use the systems that it was given'],
  [/^data\./, 'ask the databases that it was given'],
  [/^tool\./, 'use functions of your applications'],
  [/^memory\./, 'remember things between pieces of work'],
  [/^model\./, 'think with its model'],
];

/** One line for each thing that it may do. */
export function reachOf(agent: Agent): string[] {
  const { remit, connectors, memory } = agent.bailiwick;
  const everything = remit.allow.includes('*');
  const allowed = KINDS.filter(([kind]) => everything || remit.allow.some((one) => kind.test(one)));
  const lines = allowed.map(([, words]) => words).filter((words) => worth(words, agent));
  for (const one of connectors) lines.push(`reach ${one.name}${one.tools ? `, of that: ${one.tools.join(', ')}` : ''}`);
  for (const tool of agent.tools) if (tool.type === 'mcp') lines.push(`reach ${tool.server_label}, which its author wrote in`);
  if (memory) lines.push(`remember for ${(memory.scopes ?? ['person']).map((scope) => SCOPES[scope] ?? scope).join(', ')}`);
  return lines;
}

const SCOPES: Record<string, string> = {
  person: 'the person it works for',
  team: 'the team',
  agent: 'everybody it works for',
  tenant: 'the whole organisation',
};

/** What it could do with things that it does not have says nothing. */
function worth(words: string, agent: Agent): boolean {
  if (words.startsWith('think')) return false;
  if (/systems|databases/.test(words)) return false;
  if (words.startsWith('use functions')) return agent.tools.some((tool) => tool.type === 'function');
  if (words.startsWith('remember')) return false;
  return true;
}
