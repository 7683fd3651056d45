// For those in charge: what runs, what waits, what was spent, and what was done, each as far as whoever looks may see it.

import { lazy, Suspense } from 'react';
import { Navigate, NavLink, Route, Routes } from 'react-router';
import { useMay } from '../app/rights';
import '../styles/console.css';

const Sessions = lazy(() => import('./Sessions'));
const Agents = lazy(() => import('./Agents'));
const Spend = lazy(() => import('./Spend'));
const Receipts = lazy(() => import('./Receipts'));

interface View {
  path: string;
  name: string;
  scope: string;
  page: typeof Sessions;
}

const VIEWS: View[] = [
  { path: 'sessions', name: 'Work', scope: 'tenant:read', page: Sessions },
  { path: 'agents', name: 'Colleagues', scope: 'tenant:read', page: Agents },
  { path: 'spend', name: 'Spend', scope: 'spend:read', page: Spend },
  { path: 'receipts', name: 'Receipts', scope: 'audit:read', page: Receipts },
];

export default function Console() {
  const may = useMay();
  const open = VIEWS.filter((view) => may(view.scope));
  const first = open[0];
  return (
    <>
      <nav aria-label="Console" className="page wide tabs">
        {open.map((view) => (
          <NavLink key={view.path} to={`/console/${view.path}`}>
            {view.name}
          </NavLink>
        ))}
      </nav>
      <Suspense fallback={<p className="page wide soft">One moment…</p>}>
        <Routes>
          {open.map((view) => (
            <Route key={view.path} path={view.path} element={<view.page />} />
          ))}
          <Route path="*" element={first ? <Navigate to={`/console/${first.path}`} replace /> : <p className="page wide">Nothing here is for you.</p>} />
        </Routes>
      </Suspense>
    </>
  );
}
