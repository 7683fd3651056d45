import { useEffect, useRef, type ReactNode } from 'react';

let arrived = false;

/** A page with its one heading, which gets the focus when somebody comes from another page. */
export function Page(given: { title: string; lead?: ReactNode; beside?: ReactNode; wide?: boolean; children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${given.title} · Bailiwick`;
  }, [given.title]);
  useEffect(() => {
    // The first page leaves the focus where the browser put it; whoever comes from a link goes on at the heading.
    if (arrived && !document.activeElement?.closest('main')) heading.current?.focus();
    arrived = true;
  }, []);
  return (
    <div className={given.wide ? 'page wide' : 'page'}>
      <header>
        <div className="row apart">
          <h1 ref={heading} tabIndex={-1}>
            {given.title}
          </h1>
          {given.beside}
        </div>
        {given.lead ? <p>{given.lead}</p> : null}
      </header>
      {given.children}
    </div>
  );
}
