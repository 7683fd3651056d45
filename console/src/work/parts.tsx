import { oneLine } from '../text/visible';
import type { Session } from './story';

export function titleOf(session: Session): string {
  return oneLine(session.metadata.title ?? '', 120) || `Work with ${nameOf(session)}`;
}

export function nameOf(session: Session): string {
  return session.agent.name ? oneLine(session.agent.name, 60) : 'a colleague';
}

/** Whether a turn of it is under way, be it only to wait. */
export function runs(session: Session): boolean {
  return session.status === 'in_progress' || session.status === 'requires_action';
}

export interface Standing {
  words: string;
  tone: '' | 'busy' | 'warn' | 'bad';
}

/** How a session stands, in plain words. */
export function standing(session: Session): Standing {
  if (session.bailiwick.held_by.length > 0) return { words: 'Waits for your word on what became of an action', tone: 'warn' };
  if (session.bailiwick.approvals.length > 0) return { words: 'Waits for an answer', tone: 'warn' };
  switch (session.status) {
    case 'in_progress':
      return { words: 'Working', tone: 'busy' };
    case 'requires_action':
      return { words: 'Waits', tone: 'warn' };
    case 'failed':
      return { words: 'Broke off', tone: 'bad' };
    default:
      return { words: 'At rest', tone: '' };
  }
}

export function StatusDot({ session }: { session: Session }) {
  const { words, tone } = standing(session);
  return <i className={`dot ${tone}`} role="img" aria-label={words} title={words} />;
}

export function StatusBadge({ session }: { session: Session }) {
  const { words, tone } = standing(session);
  return (
    <span className={`badge ${tone}`}>
      {tone === 'busy' ? <span className="spinner" /> : null}
      {words}
    </span>
  );
}
