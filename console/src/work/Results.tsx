// What came out: files to take, with a look at those that can be shown safely.

import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import type { Schemas } from '../api/client';
import { artifacts } from '../api/questions';
import { Markdown } from '../text/Markdown';
import { bytes } from '../text/formats';
import { exact } from '../text/visible';
import { Icon } from '../ui/Icon';
import { Problem } from '../ui/Pending';
import { Long } from './Long';
import type { Session } from './story';
import { TableView } from './TableView';

type Artifact = Schemas['SessionArtifact'];

export function Results({ session }: { session: Session }) {
  const found = useQuery(artifacts(session.id)).data?.data ?? [];
  if (found.length === 0) return null;
  return (
    <section className="results" aria-labelledby="results">
      <h2 id="results">Results</h2>
      <ul className="list">
        {[...newest(found)].map((one) => (
          <Result key={one.id} one={one} />
        ))}
      </ul>
    </section>
  );
}

/** Of files that were published again, the newest. The server lists newest first. */
function newest(all: Artifact[]): Iterable<Artifact> {
  const byPath = new Map<string, Artifact>();
  for (const one of all) {
    const known = byPath.get(one.path);
    if (!known || known.created_at < one.created_at) byPath.set(one.path, one);
  }
  return byPath.values();
}

/** Most bytes of a file that is shown in the page. */
const MOST_SHOWN = 2 * 1024 * 1024;
type Kind = 'picture' | 'markdown' | 'table' | 'text';
const PICTURES: Record<string, string> = { png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp', svg: 'image/svg+xml' };
const TEXTS = ['txt', 'log', 'json', 'py', 'js', 'ts', 'sql', 'xml', 'yaml', 'yml', 'toml', 'html', 'css', 'sh'];

function kindOf(path: string): Kind | undefined {
  const ending = path.split('.').pop()?.toLowerCase() ?? '';
  if (ending in PICTURES) return 'picture';
  if (ending === 'md') return 'markdown';
  if (ending === 'csv' || ending === 'tsv') return 'table';
  return TEXTS.includes(ending) ? 'text' : undefined;
}

function Result({ one }: { one: Artifact }) {
  const [open, setOpen] = useState(false);
  const name = exact(one.path.split('/').pop() ?? one.path);
  const kind = one.size_bytes <= MOST_SHOWN ? kindOf(one.path) : undefined;
  const href = `/v1/agents/sessions/${one.session_id}/artifacts/${one.id}/content`;
  return (
    <li className="result">
      <span className="row">
        <Icon name="file" />
        <span dir="auto">{name}</span>
        <span className="faint small">{bytes(one.size_bytes)}</span>
      </span>
      <span className="row">
        {kind ? (
          <button type="button" className="button small bare" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? 'Hide' : 'Look'}
            <span className="unseen"> at {name}</span>
          </button>
        ) : null}
        <a className="button small" href={href} download>
          <Icon name="down" /> Take<span className="unseen"> {name}</span>
        </a>
      </span>
      {open && kind ? <Look href={href} kind={kind} path={one.path} name={name} /> : null}
    </li>
  );
}

function Look({ href, kind, path, name }: { href: string; kind: Kind; path: string; name: string }) {
  const content = useQuery({
    queryKey: ['content', href],
    staleTime: Infinity,
    gcTime: 60_000,
    queryFn: async () => {
      const response = await fetch(href, { credentials: 'same-origin' });
      if (!response.ok) throw new Error(`The file cannot be shown (${response.status}).`);
      return response.arrayBuffer();
    },
  });
  if (content.isError) return <Problem error={content.error} again={() => void content.refetch()} />;
  if (!content.data) return <span className="spinner" aria-label="One moment" />;
  if (kind === 'picture') return <Picture bytes={content.data} path={path} name={name} />;
  const text = new TextDecoder().decode(content.data);
  if (kind === 'markdown') return <div className="looked"><Markdown text={text} /></div>;
  if (kind === 'table') return <TableView text={text} name={name} separator={path.endsWith('.tsv') ? '\t' : undefined} />;
  return <Long title={name} text={exact(text)} />;
}

/** A picture of the page's own making: an SVG in it runs no script and loads nothing. */
function Picture({ bytes: content, path, name }: { bytes: ArrayBuffer; path: string; name: string }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    const type = PICTURES[path.split('.').pop()?.toLowerCase() ?? ''] ?? 'image/png';
    const made = URL.createObjectURL(new Blob([content], { type }));
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [content, path]);
  return url ? <img className="looked" src={url} alt={name} /> : null;
}
