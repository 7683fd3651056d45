// One piece of work, as it happens: what was said, what is done, what waits, and what came out.

import { useEffect, useRef, useState } from 'react';
import { useParams } from 'react-router';
import { useQuery } from '@tanstack/react-query';
import { words } from '../api/client';
import { approvals } from '../api/questions';
import { useMay } from '../app/rights';
import { ApprovalCard } from '../inbox/ApprovalCard';
import { prose } from '../text/visible';
import { useSay } from '../ui/Announcer';
import { Icon } from '../ui/Icon';
import { Page } from '../ui/Page';
import { Composer } from './Composer';
import { say as tell, stop } from './orders';
import { nameOf, runs, StatusBadge, standing, titleOf } from './parts';
import { Results } from './Results';
import { Loose } from './Loose';
import type { Session, Story } from './story';
import { Transcript } from './Transcript';
import { useStory } from './useStory';
import { About } from './About';

export default function WorkPage() {
  const { session = '' } = useParams();
  return <Watched key={session} id={session} />;
}

function Watched({ id }: { id: string }) {
  const story = useStory(id);
  const { session, line } = story;
  useAnnounced(story);
  if (line === 'gone' && !session) {
    return (
      <Page title="This work is not there">
        <p>It was deleted, it is somebody else’s, or the address is wrong.</p>
      </Page>
    );
  }
  if (!session) {
    return (
      <p className="page row soft" role="status">
        <span className="spinner" /> {line === 'lost' ? 'The server cannot be reached. Trying again…' : 'One moment…'}
      </p>
    );
  }
  return (
    <>
      {line === 'lost' ? (
        <p className="lost" role="status">
          Connection lost. The work goes on; this page comes back by itself…
        </p>
      ) : null}
      <Page title={titleOf(session)} beside={<Controls session={session} />} lead={<Lead story={story} session={session} />}>
        <Transcript story={story} />
        {line === 'gone' ? <p className="note bad">This work was deleted. What stands here is the last that was seen.</p> : null}
        <Trouble story={story} />
        <Asked session={session} />
        <Loose session={session} />
        <Results session={session} />
        <About session={session} />
        <Next session={session} />
      </Page>
    </>
  );
}

function Lead({ story, session }: { story: Story; session: Session }) {
  const scripted = story.entries.some(({ item }) => 'bailiwick' in item && item.bailiwick?.scripted);
  return (
    <span className="row">
      <StatusBadge session={session} /> {nameOf(session)}
      {scripted ? <span className="badge">rehearsed: a script speaks here, no model</span> : null}
      {session.bailiwick.label.integrity === 'untrusted' ? <span className="badge warn">has read what strangers wrote</span> : null}
    </span>
  );
}

function Controls({ session }: { session: Session }) {
  const [problem, setProblem] = useState<unknown>();
  const say = useSay();
  const may = useMay();
  if (!runs(session) || !(may('sessions:write') || may('sessions:stop'))) return null;
  const end = () => {
    setProblem(undefined);
    stop(session.id)
      .then(() => say('Stopping.'))
      .catch(setProblem);
  };
  return (
    <span className="row">
      <button type="button" className="button danger" onClick={end}>
        <Icon name="stop" /> Stop
      </button>
      {problem ? <span className="small">{words(problem)}</span> : null}
    </span>
  );
}

/** What is wrong with the work itself, unless the end of its last turn says the same. */
function Trouble({ story }: { story: Story }) {
  const last = [...story.turns.values()].at(-1)?.error?.message;
  const { problem } = story;
  return problem && problem !== last ? <p className="note bad">{prose(problem)}</p> : null;
}

/** Questions of this work that somebody has to answer. */
function Asked({ session }: { session: Session }) {
  const all = useQuery(approvals).data?.data ?? [];
  const here = session.bailiwick.approvals.map((plain) => all.find((full) => full.id === plain.id) ?? plain);
  if (here.length === 0) return null;
  return (
    <section aria-label="Waits for an answer" className="stack">
      {here.map((one) => (
        <ApprovalCard key={one.id} approval={one} inWork />
      ))}
    </section>
  );
}

function Next({ session }: { session: Session }) {
  const key = useRef(crypto.randomUUID());
  const may = useMay();
  const end = useRef<HTMLDivElement>(null);
  if (!may('sessions:write')) return null;
  const busy = runs(session);
  return (
    <div className="next" ref={end}>
      <Composer
        draft={session.id}
        label={busy ? `Tell ${nameOf(session)} something while it works` : `Go on with ${nameOf(session)}`}
        placeholder={busy ? 'Say something while it works…' : 'What next?'}
        send={busy ? 'Tell' : 'Send'}
        takesFiles={session.bailiwick.environment != null}
        order={async (order) => {
          await tell(session, order, key.current);
          key.current = crypto.randomUUID();
        }}
      />
    </div>
  );
}

/** Tells who does not see the page how the work stands. */
function useAnnounced(story: Story): void {
  const say = useSay();
  const now = story.session ? `${nameOf(story.session)}: ${standing(story.session).words}` : '';
  const line = story.line;
  useEffect(() => {
    if (now) say(now);
  }, [now, say]);
  useEffect(() => {
    if (line === 'lost') say('Connection lost. Trying again.');
  }, [line, say]);
}
