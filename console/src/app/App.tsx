import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';
import { Route, Routes } from 'react-router';
import { Refusal } from '../api/client';
import { me } from '../api/questions';
import { SignIn } from '../signin/SignIn';
import { Problem } from '../ui/Pending';
import { Shell } from './Shell';
import { Home } from '../work/Home';
import { Unknown } from './Unknown';

const Work = lazy(() => import('../work/WorkPage'));
const AllWork = lazy(() => import('../work/AllWork'));
const Colleagues = lazy(() => import('../colleagues/Colleagues'));
const Colleague = lazy(() => import('../colleagues/Colleague'));
const Inbox = lazy(() => import('../inbox/Inbox'));
const Memory = lazy(() => import('../memory/Memory'));
const Receipt = lazy(() => import('../receipts/Receipt'));
const Console = lazy(() => import('../console/Console'));

export function App() {
  const known = useQuery(me);
  // Whoever comes is asked who it is in place of the page, which is there again afterwards: the address stays.
  if (!known.data) {
    if (known.error instanceof Refusal && known.error.status === 401) return <SignIn />;
    if (known.isError) return <Unreachable error={known.error} again={() => void known.refetch()} />;
    return <Waiting />;
  }
  return (
    <Shell>
      <Suspense fallback={<Waiting />}>
        <Routes>
          <Route path="/" element={<Home />} />
          <Route path="/sign-in" element={<Home />} />
          <Route path="/work" element={<AllWork />} />
          <Route path="/work/:session" element={<Work />} />
          <Route path="/colleagues" element={<Colleagues />} />
          <Route path="/colleagues/:agent" element={<Colleague />} />
          <Route path="/inbox" element={<Inbox />} />
          <Route path="/memory" element={<Memory />} />
          <Route path="/receipts/:session/:action" element={<Receipt />} />
          <Route path="/console/*" element={<Console />} />
          <Route path="*" element={<Unknown />} />
        </Routes>
      </Suspense>
    </Shell>
  );
}

function Waiting() {
  return (
    <p className="page row soft" role="status">
      <span className="spinner" /> One moment…
    </p>
  );
}

function Unreachable({ error, again }: { error: unknown; again: () => void }) {
  return (
    <main>
      <div className="page">
        <h1 className="unseen">Bailiwick</h1>
        <Problem error={error} again={again} />
      </div>
    </main>
  );
}
