import { useEffect, useState } from 'react';
import { ago, at } from '../text/formats';

/** A moment, from here; the whole of it on pointing. `seconds` since 1970. */
export function When({ seconds }: { seconds: number }) {
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 30_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <time dateTime={new Date(seconds * 1000).toISOString()} title={at(seconds)}>
      {ago(seconds)}
    </time>
  );
}
