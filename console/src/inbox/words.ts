// Canonical actions in plain words. What has no words of its own is shown by its arguments, all of them.

import type { Approval } from './ApprovalCard';

interface Subject {
  question: string;
  fields: { title: string; text: string }[];
}

const QUESTIONS: Record<string, string> = {
  'file.write': 'may I write a file?',
  'file.edit': 'may I change a file?',
  'file.delete': 'may I remove a file?',
  'file.read': 'may I read a file?',
  'command.run': 'may I run a command?',
  'command.input': 'may I type something into a command?',
  'artifact.publish': 'may I publish a file?',
  'connector.open': 'may I connect to a system?',
  'connector.call': 'may I use a system of the company?',
  'data.query': 'may I ask a database?',
  'tool.call': 'may I use a function?',
  'model.call': 'may I ask a model?',
  'memory.write': 'may I remember this?',
  'memory.forget': 'may I forget this?',
  'environment.start': 'may I start a workspace?',
};

/** Fields that say where it happens inside, and nothing to a person. */
const INNER = new Set(['environment']);
/** Those that say most come first. */
const FIRST = ['command', 'to', 'connector', 'tool', 'path', 'url', 'subject', 'statement', 'arguments', 'text', 'content'];

export function subjectOf(approval: Approval): Subject {
  const given = (approval.arguments ?? {}) as Record<string, unknown>;
  const keys = Object.keys(given).filter((key) => !INNER.has(key));
  const rank = (key: string) => (FIRST.includes(key) ? FIRST.indexOf(key) : FIRST.length);
  keys.sort((a, b) => rank(a) - rank(b));
  const fields = keys.flatMap((key) => {
    const value = given[key];
    if (value === null || value === undefined) return [];
    return [{ title: key.replaceAll('_', ' '), text: typeof value === 'string' ? value : JSON.stringify(value, null, 2) }];
  });
  return { question: QUESTIONS[approval.operation] ?? `may I do “${approval.operation}”?`, fields };
}
