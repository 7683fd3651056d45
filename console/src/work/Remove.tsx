import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { api, told } from '../api/client';
import { useMay } from '../app/rights';
import { Dialog } from '../ui/Dialog';
import { Problem } from '../ui/Pending';

/** Deletes a piece of work, after a question. */
export function Remove({ session }: { session: string }) {
  const [asked, ask] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const client = useQueryClient();
  const go = useNavigate();
  const may = useMay();
  if (!may('sessions:write')) return null;
  const remove = () => {
    told(api.DELETE('/v1/agents/sessions/{session_id}', { params: { path: { session_id: session } } }))
      .then(() => {
        void client.invalidateQueries({ queryKey: ['sessions'] });
        void go('/work');
      })
      .catch(setProblem);
  };
  return (
    <>
      <button type="button" className="button small danger" onClick={() => ask(true)}>
        Delete this work
      </button>
      {asked ? (
        <Dialog title="Delete this work?" close={() => ask(false)}>
          <p>What runs is stopped, and what was said and made is gone. Receipts stay. Take the results that you need before.</p>
          {problem ? <Problem error={problem} /> : null}
          <div className="row">
            <button type="button" className="button danger" onClick={remove}>
              Delete it
            </button>
            <button type="button" className="button bare" onClick={() => ask(false)}>
              Keep it
            </button>
          </div>
        </Dialog>
      ) : null}
    </>
  );
}
