// Files that somebody gives along, from the moment they are dropped until the server has them.

import { useCallback, useEffect, useRef, useState } from 'react';
import { words } from '../api/client';
import { MOST_BYTES, upload } from '../api/files';
import { bytes } from '../text/formats';

export interface Given {
  key: number;
  file: File;
  /** From 0 to 1. */
  sent: number;
  id?: string;
  problem?: string;
}

export interface GivenFiles {
  files: Given[];
  add(files: Iterable<File>): void;
  remove(key: number): void;
  clear(): void;
  /** Whether nothing is on its way and nothing failed. */
  ready: boolean;
}

/** Most files that are given along at once. */
const MOST_FILES = 50;

export function useGivenFiles(): GivenFiles {
  const [files, setFiles] = useState<Given[]>([]);
  const running = useRef(new Map<number, AbortController>());
  const next = useRef(1);
  const change = useCallback((key: number, by: Partial<Given>) => {
    setFiles((now) => now.map((one) => (one.key === key ? { ...one, ...by } : one)));
  }, []);
  useEffect(() => {
    const all = running.current;
    return () => all.forEach((stop) => stop.abort());
  }, []);

  const begin = (given: Given) => {
    const stop = new AbortController();
    running.current.set(given.key, stop);
    upload(given.file, (sent) => change(given.key, { sent }), stop.signal)
      .then((file) => change(given.key, { id: file.id, sent: 1 }))
      .catch((error: unknown) => change(given.key, { problem: words(error) }))
      .finally(() => running.current.delete(given.key));
  };

  const add = (added: Iterable<File>) => {
    const fresh: Given[] = [...added].slice(0, MOST_FILES - files.length).map((file) => {
      const fits = file.size <= MOST_BYTES;
      const problem = fits ? undefined : `is ${bytes(file.size)}; at most ${bytes(MOST_BYTES)} can be given`;
      return { key: next.current++, file, sent: 0, problem };
    });
    setFiles([...files, ...fresh]);
    fresh.filter((one) => !one.problem).forEach(begin);
  };
  const remove = (key: number) => {
    running.current.get(key)?.abort();
    setFiles((now) => now.filter((one) => one.key !== key));
  };
  const clear = () => setFiles([]);
  return { files, add, remove, clear, ready: files.every((one) => one.id !== undefined) };
}
