// What somebody who does not see the page is told when it changes by itself.

import { createContext, useCallback, useContext, useState, type ReactNode } from 'react';

const Say = createContext<(text: string) => void>(() => undefined);

export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState('');
  const say = useCallback((text: string) => {
    setSaid('');
    // The same words are news again.
    setTimeout(() => setSaid(text), 50);
  }, []);
  return (
    <Say value={say}>
      {children}
      <div className="unseen" role="status" aria-live="polite">
        {said}
      </div>
    </Say>
  );
}

export function useSay(): (text: string) => void {
  return useContext(Say);
}
