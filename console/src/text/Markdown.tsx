// A colleague's words with their form. Markup in them stays text, links say where they lead, and no image is loaded from
// anywhere: whoever wrote the words may want to know that they were read.

import { memo, type ReactNode } from 'react';
import ReactMarkdown, { type Components } from 'react-markdown';
import remarkGfm from 'remark-gfm';
import { prose } from './visible';

const plugins = [remarkGfm];

/** Only what leads to another place on the web or to a mail is a link; what would lead into this server is not. */
function outside(href: string | undefined): URL | undefined {
  if (!href || !/^(https?|mailto):/i.test(href)) return undefined;
  try {
    const url = new URL(href);
    return url.origin === window.location.origin ? undefined : url;
  } catch {
    return undefined;
  }
}

function textOf(children: ReactNode): string {
  if (typeof children === 'string') return children;
  return Array.isArray(children) ? children.map((one: ReactNode) => textOf(one)).join('') : '';
}

const components: Components = {
  a({ href, children }) {
    const url = outside(href);
    if (!url) return <span>{children}</span>;
    const place = url.protocol === 'mailto:' ? url.pathname : url.host;
    const said = textOf(children).includes(place);
    return (
      <>
        <a href={url.href} target="_blank" rel="noopener noreferrer nofollow">
          {children}
        </a>
        {said && textOf(children) === url.href ? null : <span className="leads-to"> ({place})</span>}
      </>
    );
  },
  img({ alt, src }) {
    const url = outside(typeof src === 'string' ? src : undefined);
    return (
      <span className="not-loaded">
        Picture not loaded{alt ? `: ${alt}` : ''}
        {url ? ` (${url.host})` : ''}
      </span>
    );
  },
  table({ children }) {
    return (
      <div className="scroll" tabIndex={0} role="group" aria-label="Table">
        <table>{children}</table>
      </div>
    );
  },
  // Headings of a message stand below those of the page.
  h1: ({ children }) => <h3>{children}</h3>,
  h2: ({ children }) => <h3>{children}</h3>,
  h3: ({ children }) => <h4>{children}</h4>,
  h4: ({ children }) => <h4>{children}</h4>,
  h5: ({ children }) => <h4>{children}</h4>,
  h6: ({ children }) => <h4>{children}</h4>,
};

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  return (
    <div className="markdown">
      <ReactMarkdown remarkPlugins={plugins} components={components}>
        {prose(text)}
      </ReactMarkdown>
    </div>
  );
});
