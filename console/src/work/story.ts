// A session as it is shown: the fold of its events. Final items replace provisional ones, whatever was seen of these.

import type { Schemas } from '../api/client';
import { follow, type Line, type SessionEvent } from '../api/stream';

export type Session = Schemas['AgentSession'];
export type Turn = Schemas['Turn'];
export type Item = Schemas['Item'];

/** One item, with what has been said of it so far. Replaced when it changes, never written to. */
export interface Entry {
  id: string;
  turn: string;
  item: Item;
  final: boolean;
  /** Parts of a text that is being written, by their index. */
  parts: string[];
  /** Output of a command that runs. */
  output: string;
}

export interface Story {
  session?: Session;
  /** In the order of their beginning. */
  turns: ReadonlyMap<string, Turn>;
  entries: readonly Entry[];
  line: Line;
  /** What went wrong with the stream itself. */
  problem?: string;
}

export const NOTHING: Story = { turns: new Map(), entries: [], line: 'connecting' };

/** Most output of a running command that is held; the final item has all of it. */
const MOST_OUTPUT = 256 * 1024;

/** Tells everything that `events` say. */
export function fold(story: Story, events: readonly SessionEvent[]): Story {
  const draft = new Draft(story);
  for (const event of events) draft.take(event);
  return draft.story();
}

/** What was provisional is told again after a connection was lost. */
export function withoutProvisional(story: Story): Story {
  const entries = story.entries.map((one) => (one.final ? one : { ...one, parts: [], output: '' }));
  return { ...story, entries };
}

class Draft {
  private session: Session | undefined;
  private turns: Map<string, Turn>;
  private entries: Entry[];
  private places: Map<string, number>;
  private problem: string | undefined;

  constructor(private readonly before: Story) {
    this.session = before.session;
    this.turns = new Map(before.turns);
    this.entries = [...before.entries];
    this.places = new Map(this.entries.map((entry, place) => [entry.id, place]));
    this.problem = before.problem;
  }

  story(): Story {
    const { session, turns, entries, problem } = this;
    return { ...this.before, session, turns, entries, problem };
  }

  take(event: SessionEvent): void {
    switch (event.type) {
      case 'agent.session.created':
      case 'agent.session.idle':
      case 'agent.session.in_progress':
      case 'agent.session.requires_action':
      case 'agent.session.failed':
        this.session = event.session;
        break;
      case 'agent.session.turn.created':
      case 'agent.session.turn.in_progress':
        this.turns.set(event.turn_id, event.turn);
        break;
      case 'agent.session.turn.completed':
      case 'agent.session.turn.failed':
      case 'agent.session.turn.cancelled':
        this.turns.set(event.turn_id, event.turn);
        this.forgetProvisional(event.turn_id);
        break;
      case 'agent.session.turn.item.added':
        this.add(event.turn_id, event.item);
        break;
      case 'agent.session.turn.item.done':
        this.put({ id: event.item.id, turn: event.turn_id, item: event.item, final: true, parts: [], output: '' });
        break;
      case 'agent.session.turn.content_part.added':
        this.part(event.item_id, event.content_index, () => event.part.text);
        break;
      case 'agent.session.turn.output_text.delta':
        this.part(event.item_id, event.content_index, (text) => text + event.delta);
        break;
      case 'agent.session.turn.reasoning_summary_part.added':
        this.part(event.item_id, event.summary_index, () => event.part.text);
        break;
      case 'agent.session.turn.reasoning_summary_text.delta':
        this.part(event.item_id, event.summary_index, (text) => text + event.delta);
        break;
      case 'agent.output.command_execution_output.delta':
        this.change(event.item_id, (entry) => ({ ...entry, output: (entry.output + event.delta).slice(-MOST_OUTPUT) }));
        break;
      case 'error':
        this.problem = event.error.message;
        break;
    }
  }

  private add(turn: string, item: Item): void {
    const known = this.places.get(item.id);
    // What was told before and is told again after a connection was lost is no news.
    if (known !== undefined && this.entries[known]?.final) return;
    const final = item.type === 'message' && item.role === 'user';
    this.put({ id: item.id, turn, item, final, parts: [], output: '' });
  }

  private put(entry: Entry): void {
    const place = this.places.get(entry.id);
    if (place === undefined) {
      this.places.set(entry.id, this.entries.length);
      this.entries.push(entry);
    } else {
      this.entries[place] = entry;
    }
  }

  private change(id: string, by: (entry: Entry) => Entry): void {
    const place = this.places.get(id);
    const entry = place === undefined ? undefined : this.entries[place];
    if (place !== undefined && entry && !entry.final) this.entries[place] = by(entry);
  }

  private part(id: string, index: number, text: (before: string) => string): void {
    this.change(id, (entry) => {
      const parts = [...entry.parts];
      parts[index] = text(parts[index] ?? '');
      return { ...entry, parts };
    });
  }

  private forgetProvisional(turn: string): void {
    if (!this.entries.some((entry) => entry.turn === turn && !entry.final)) return;
    this.entries = this.entries.filter((entry) => entry.turn !== turn || entry.final);
    this.places = new Map(this.entries.map((entry, place) => [entry.id, place]));
  }
}

/** A story that follows its session for as long as somebody looks. */
export class Following {
  private story = NOTHING;
  private waiting: SessionEvent[] = [];
  private frame: number | undefined;
  private readonly lookers = new Set<() => void>();
  private stop: (() => void) | undefined;

  constructor(private readonly session: string) {}

  now = (): Story => this.story;

  look = (looker: () => void): (() => void) => {
    this.lookers.add(looker);
    this.stop ??= follow(this.session, { hear: this.hear, line: this.line });
    return () => {
      this.lookers.delete(looker);
      if (this.lookers.size > 0) return;
      this.stop?.();
      this.stop = undefined;
      // Whoever looks again is told from the beginning.
      this.story = NOTHING;
      this.waiting = [];
    };
  };

  private hear = (events: SessionEvent[]): void => {
    this.waiting.push(...events);
    // At most one drawing for each frame; a page in the background gets no frames.
    if (this.frame !== undefined) return;
    if (document.hidden) this.frame = window.setTimeout(this.draw, 0);
    else this.frame = requestAnimationFrame(this.draw);
  };

  private draw = (): void => {
    this.frame = undefined;
    const events = this.waiting;
    this.waiting = [];
    this.set(fold(this.story, events));
  };

  private line = (line: Line): void => {
    const again = line === 'live' && this.story.entries.length > 0;
    this.set({ ...(again ? withoutProvisional(this.story) : this.story), line });
  };

  private set(story: Story): void {
    this.story = story;
    this.lookers.forEach((looker) => looker());
  }
}
