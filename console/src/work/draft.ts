import { useEffect, useState } from 'react';

/** What somebody has written and not sent: there again after a reload, in this tab only. */
export function useDraft(name: string): [string, (text: string) => void] {
  const key = `bailiwick-draft-${name}`;
  const [text, setText] = useState(() => sessionStorage.getItem(key) ?? '');
  useEffect(() => {
    if (text) sessionStorage.setItem(key, text);
    else sessionStorage.removeItem(key);
  }, [key, text]);
  return [text, setText];
}
