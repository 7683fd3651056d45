import { useEffect, useState, useSyncExternalStore } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { Following, type Story } from './story';

/** A session as it happens. */
export function useStory(session: string): Story {
  const [following, follow] = useState(() => new Following(session));
  const [followed, remember] = useState(session);
  if (followed !== session) {
    remember(session);
    follow(new Following(session));
  }
  const story = useSyncExternalStore(following.look, following.now);
  useFreshness(session, story);
  return story;
}

/** What stands beside the story is asked for again when the story says that it changed. */
function useFreshness(session: string, story: Story): void {
  const client = useQueryClient();
  const status = story.session?.status;
  const asked = story.session?.bailiwick.approvals.map((approval) => approval.id).join() ?? '';
  useEffect(() => {
    void client.invalidateQueries({ queryKey: ['approvals'] });
  }, [client, asked]);
  useEffect(() => {
    if (!status) return;
    void client.invalidateQueries({ queryKey: ['sessions'] });
    void client.invalidateQueries({ queryKey: ['artifacts', session] });
    void client.invalidateQueries({ queryKey: ['receipts', session] });
  }, [client, session, status]);
}
