// What a tool call did, in words of the house. Names and arguments are a model's: they are shown, never believed.

import type { Entry, Item } from './story';

export interface Doing {
  verb: string;
  what: string;
  status: Item['status' & keyof Item] | string;
  ms?: number | null;
  blocks: { title: string; text: string }[];
}

/** Built-in tools: when it is done, and when it is not. */
const BUILT_IN: Record<string, [string, string]> = {
  run_command: ['Ran', 'run'],
  read_file: ['Read', 'read'],
  write_file: ['Wrote', 'write'],
  edit_file: ['Changed', 'change'],
  list_files: ['Looked into', 'look into'],
  delete_file: ['Removed', 'remove'],
  publish_file: ['Published', 'publish'],
  memory_search: ['Looked into memory for', 'look into memory for'],
  memory_read: ['Recalled', 'recall'],
  memory_write: ['Remembered', 'remember'],
  memory_forget: ['Forgot', 'forget'],
};

/** What did not happen is not said to have happened. */
function verb([done, to]: [string, string], item: Item): string {
  const effect = 'bailiwick' in item ? item.bailiwick?.effect?.type : undefined;
  if (effect === 'asked' || effect === 'held') return `Wants to ${to}`;
  if (effect === 'denied' || item.status === 'failed') return `Tried to ${to}`;
  if (effect === 'unknown') return `May have tried to ${to}`;
  return item.status === 'in_progress' ? `Is about to ${to}` : done;
}

export function describe(entry: Entry, answer: Entry | undefined): Doing {
  const { item } = entry;
  switch (item.type) {
    case 'command_execution': {
      const output = entry.final ? item.output : entry.output;
      const blocks = [{ title: 'Command', text: item.command }];
      if (output) blocks.push({ title: 'Output', text: output });
      const code = item.exit_code;
      if (code != null && code !== 0) blocks.push({ title: 'Ended with', text: `exit code ${code}` });
      const said = entry.final ? verb(['Ran', 'run'], item) : 'Runs';
      return { verb: said, what: item.command, status: item.status, ms: item.duration_ms, blocks };
    }
    case 'mcp_call': {
      const blocks = args(item.arguments);
      if (item.output) blocks.push({ title: 'Answer', text: item.output });
      if (item.error) blocks.push({ title: 'Problem', text: item.error });
      const built = item.server_label === 'environment' ? BUILT_IN[item.name] : undefined;
      const name = item.server_label === 'environment' ? item.name : `${item.name} of ${item.server_label}`;
      const said = verb(built ?? ['Used', 'use'], item);
      return { verb: said, what: built ? subject(item.arguments, item.name) : name, status: item.status, blocks };
    }
    case 'function_call': {
      const blocks = args(item.arguments);
      if (answer?.item.type === 'function_call_output') blocks.push(...answered(answer.item));
      return { verb: 'Asked the application for', what: item.name, status: answer ? 'completed' : item.status, blocks };
    }
    default:
      return { verb: '', what: '', status: 'completed', blocks: [] };
  }
}

function answered(item: Extract<Item, { type: 'function_call_output' }>): Doing['blocks'] {
  if (item.error) return [{ title: 'Problem', text: item.error }];
  const { output } = item;
  const text = typeof output === 'string' ? output : (output ?? []).map((part) => ('text' in part ? part.text : 'a picture')).join('\n');
  return text ? [{ title: 'Answer', text }] : [];
}

/** Each argument by itself; texts as they are, everything else as JSON. */
function args(given: unknown): Doing['blocks'] {
  if (typeof given !== 'object' || given === null) return given == null ? [] : [{ title: 'Arguments', text: String(given) }];
  return Object.entries(given).map(([title, value]) => ({
    title,
    text: typeof value === 'string' ? value : JSON.stringify(value, null, 2),
  }));
}

function subject(given: unknown, name: string): string {
  const fields = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>;
  for (const key of ['command', 'path', 'query', 'text', 'id', 'content']) {
    const value = fields[key];
    if (typeof value === 'string' && value !== '') return value;
  }
  return name;
}
