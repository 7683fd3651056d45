// What is remembered about whoever looks, and shared with them: to see, correct, vouch for and erase.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useId, useState, type FormEvent } from 'react';
import { api, told, type Schemas } from '../api/client';
import { memories } from '../api/questions';
import { useMay } from '../app/rights';
import { useNames } from '../app/who';
import { prose } from '../text/visible';
import { useSay } from '../ui/Announcer';
import { Dialog } from '../ui/Dialog';
import { Page } from '../ui/Page';
import { Pending, Problem } from '../ui/Pending';
import { When } from '../ui/When';
import { Link } from 'react-router';

type Memory = Schemas['Memory'];

const SCOPES: Record<string, string> = {
  person: 'only about you',
  team: 'shared with your team',
  agent: 'shared by everybody who works with this colleague',
  tenant: 'shared in the organisation',
};

export default function MemoryPage() {
  const may = useMay();
  const all = useQuery(memories);
  return (
    <Page title="Memory" lead="What colleagues remember about you between pieces of work. It is yours: correct it, or erase it for good.">
      <div className="stack">
        {may('sessions:write') ? <Add /> : null}
        <Pending of={all}>
          {({ data, has_more }) => {
            const proposed = data.filter((one) => one.state === 'proposed');
            const kept = data.filter((one) => one.state !== 'proposed');
            if (data.length === 0) {
              return (
                <div className="empty">
                  <h2>Nothing is remembered</h2>
                  <p>When a colleague with a memory learns something about you, it is here.</p>
                </div>
              );
            }
            return (
              <>
                {proposed.length > 0 ? (
                  <section className="stack-small" aria-labelledby="proposed">
                    <h2 id="proposed">Waits for your word</h2>
                    <p className="soft">It came from what strangers may have written. No colleague is told before you say that it is true.</p>
                    {proposed.map((one) => (
                      <Remembered key={one.id} one={one} />
                    ))}
                  </section>
                ) : null}
                <section className="stack-small" aria-label="Remembered">
                  {kept.map((one) => (
                    <Remembered key={one.id} one={one} />
                  ))}
                </section>
                {has_more ? <p className="soft small">There is more; the command line lists all of it: bailiwick memory list.</p> : null}
              </>
            );
          }}
        </Pending>
      </div>
    </Page>
  );
}

function Remembered({ one }: { one: Memory }) {
  const [mode, setMode] = useState<'seen' | 'correct' | 'erase'>('seen');
  const [problem, setProblem] = useState<unknown>();
  const client = useQueryClient();
  const say = useSay();
  const names = useNames();
  const may = useMay();
  const path = { memory_id: one.id };
  const run = async (work: Promise<unknown>, done: string) => {
    setProblem(undefined);
    try {
      await work;
      say(done);
      setMode('seen');
      await client.invalidateQueries({ queryKey: ['memories'] });
    } catch (error) {
      setProblem(error);
    }
  };
  const confirm = () =>
    run(told(api.POST('/bailiwick/v1/memories/{memory_id}/confirm', { params: { path }, body: { version: one.version } })), 'Confirmed.');
  const erase = () =>
    run(
      told(api.DELETE('/bailiwick/v1/memories/{memory_id}', { params: { path, header: { 'If-Match': String(one.version) } } })),
      'Erased.',
    );
  const correct = (text: string) =>
    run(told(api.POST('/bailiwick/v1/memories/{memory_id}', { params: { path }, body: { text, version: one.version } })), 'Corrected.');
  const words = prose(one.text);
  return (
    <article className="card stack-small">
      {mode === 'correct' ? <Correct text={one.text} save={correct} back={() => setMode('seen')} /> : <p dir="auto">{words}</p>}
      <p className="small soft">
        A {one.kind}, {SCOPES[one.scope] ?? one.scope} · written by {names(one.source.by.split(' ')[0])} <When seconds={one.updated_at} />
        {one.source.session ? (
          <>
            {' · '}
            <Link to={`/work/${one.source.session}`}>where it came from</Link>
          </>
        ) : null}
      </p>
      {problem ? <Problem error={problem} /> : null}
      {mode === 'seen' && may('sessions:write') ? (
        <div className="row">
          {one.state === 'proposed' ? (
            <button type="button" className="button small primary" onClick={() => void confirm()}>
              It is true
            </button>
          ) : null}
          <button type="button" className="button small" onClick={() => setMode('correct')}>
            Correct
          </button>
          <button type="button" className="button small danger" onClick={() => setMode('erase')}>
            Erase
          </button>
        </div>
      ) : null}
      {mode === 'erase' ? (
        <Dialog title="Erase this for good?" close={() => setMode('seen')}>
          <blockquote>{words}</blockquote>
          <p className="soft">It is written over on the disk. A receipt says that it was there, and not what it said.</p>
          <div className="row">
            <button type="button" className="button danger" onClick={() => void erase()}>
              Erase it
            </button>
            <button type="button" className="button bare" onClick={() => setMode('seen')}>
              Keep it
            </button>
          </div>
        </Dialog>
      ) : null}
    </article>
  );
}

function Correct({ text, save, back }: { text: string; save: (text: string) => Promise<void>; back: () => void }) {
  const [now, setNow] = useState(text);
  const field = useId();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void save(now.trim());
  };
  return (
    <form className="stack-small" onSubmit={submit}>
      <div className="field">
        <label htmlFor={field}>What is true</label>
        <textarea id={field} className="input" value={now} onChange={(event) => setNow(event.target.value)} required autoFocus />
      </div>
      <div className="row">
        <button className="button small primary" disabled={now.trim() === '' || now === text}>
          Save
        </button>
        <button type="button" className="button small bare" onClick={back}>
          Leave it
        </button>
      </div>
    </form>
  );
}

/** Something that colleagues shall know, in one's own words. */
function Add() {
  const [text, setText] = useState('');
  const [problem, setProblem] = useState<unknown>();
  const client = useQueryClient();
  const say = useSay();
  const field = useId();
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setProblem(undefined);
    try {
      await told(api.POST('/bailiwick/v1/memories', { body: { text: text.trim(), kind: 'preference' } }));
      setText('');
      say('Remembered.');
      await client.invalidateQueries({ queryKey: ['memories'] });
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <form className="stack-small" onSubmit={(event) => void submit(event)}>
      <div className="field">
        <label htmlFor={field}>Tell your colleagues something to remember</label>
        <input id={field} className="input" value={text} placeholder="Amounts in reports in euros, without cents" onChange={(event) => setText(event.target.value)} />
      </div>
      {problem ? <Problem error={problem} /> : null}
      <div>
        <button className="button small" disabled={text.trim() === ''}>
          Remember it
        </button>
      </div>
    </form>
  );
}
