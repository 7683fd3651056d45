// Who, for whom, at what cost, and under which label: beside every piece of work, in plain words.

import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { me, receipts } from '../api/questions';
import { useNames } from '../app/who';
import { costOf } from '../receipts/cost';
import { at, money } from '../text/formats';
import { Remove } from './Remove';
import type { Session } from './story';

export function About({ session }: { session: Session }) {
  const names = useNames();
  const { bailiwick } = session;
  const all = useQuery(receipts(session.id)).data;
  const known = useQuery(me).data;
  const cost = all ? costOf(all) : undefined;
  return (
    <details className="about">
      <summary>About this work</summary>
      <dl className="facts">
        <div>
          <dt>Colleague</dt>
          <dd>
            <Link to={`/colleagues/${session.agent.id}`}>{session.agent.name ?? 'without a name'}</Link>
          </dd>
        </div>
        <div>
          <dt>Works for</dt>
          <dd>{names(bailiwick.subject ?? bailiwick.orderer)}</dd>
        </div>
        <div>
          <dt>Began</dt>
          <dd>{at(session.created_at)}</dd>
        </div>
        <div>
          <dt>Cost so far</dt>
          <dd>{cost == null ? '…' : cost === 0 ? 'nothing' : money(cost, known?.currency)}</dd>
        </div>
        <div>
          <dt>Has read</dt>
          <dd>{labelWords(bailiwick.label)}</dd>
        </div>
        {bailiwick.environment ? (
          <div>
            <dt>Its workspace</dt>
            <dd>
              {bailiwick.environment.status}
              {bailiwick.environment.error ? `: ${bailiwick.environment.error}` : ''}
            </dd>
          </div>
        ) : null}
        <div>
          <dt>Number</dt>
          <dd>
            <code>{session.id}</code>
          </dd>
        </div>
      </dl>
      <p>
        <Remove session={session.id} />
      </p>
    </details>
  );
}

/** A label in plain words. */
export function labelWords(label: unknown): string {
  const { integrity, confidentiality } = (label ?? {}) as { integrity?: string; confidentiality?: unknown };
  const from = integrity === 'untrusted' ? 'what strangers may have written' : 'only what you and the company gave it';
  if (confidentiality === 'public') return `${from}; everybody may see it`;
  if (typeof confidentiality === 'object' && confidentiality !== null && 'groups' in confidentiality) {
    return `${from}; only for ${(confidentiality.groups as string[]).join(' and ')}`;
  }
  return `${from}; for people inside the company`;
}
