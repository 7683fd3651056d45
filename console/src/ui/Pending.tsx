import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { words } from '../api/client';

/** An answer, or what stands in its way. */
export function Pending<T>({ of, children }: { of: UseQueryResult<T>; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) return <>{children(of.data)}</>;
  if (of.isError) return <Problem error={of.error} again={() => void of.refetch()} />;
  return (
    <p className="row soft" role="status">
      <span className="spinner" /> One moment…
    </p>
  );
}

/** What went wrong, and the way out. */
export function Problem({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <div className="note bad row apart" role="alert">
      <span>{words(error)}</span>
      {again ? (
        <button type="button" className="button small" onClick={again}>
          Try again
        </button>
      ) : null}
    </div>
  );
}
