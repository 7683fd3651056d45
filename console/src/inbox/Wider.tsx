import { useId, useState } from 'react';
import type { Schemas } from '../api/client';
import { prose } from '../text/visible';

type Option = Schemas['WidenOption'];
export type Choice = Schemas['WidenParam'];

const HOUR = 3600;
const TIMES: [string, number][] = [
  ['for 8 hours', 8 * HOUR],
  ['for a day', 24 * HOUR],
  ['for a week', 7 * 24 * HOUR],
  ['for 30 days', 30 * 24 * HOUR - HOUR],
];

interface Parts {
  options: Option[];
  chosen: Choice | undefined;
  choose: (choice: Choice | undefined) => void;
}

/** Lets an answer stand for more than once; the words of what that permits are read before. */
export function Wider({ options, chosen, choose }: Parts) {
  const name = useId();
  const [seconds, setSeconds] = useState(TIMES[0]?.[1] ?? HOUR);
  if (options.length === 0) return null;
  const until = (from: number) => Math.floor(Date.now() / 1000) + from;
  return (
    <details className="wider">
      <summary className="soft">Answer for more than this once</summary>
      <fieldset className="stack-small inside-wider">
        <legend className="unseen">For what the answer stands</legend>
        <label className="row top">
          <input type="radio" name={name} checked={!chosen} onChange={() => choose(undefined)} />
          <span>Only for this once</span>
        </label>
        {options.map((one) => (
          <label key={`${one.what} ${one.for}`} className="row top">
            <input
              type="radio"
              name={name}
              checked={chosen?.what === one.what && chosen.for === one.for}
              onChange={() => choose({ what: one.what, for: one.for, until: until(seconds) })}
            />
            <span>{prose(one.words)}</span>
          </label>
        ))}
        {chosen ? (
          <label className="row">
            <span className="label">How long</span>
            <select
              className="input short"
              value={seconds}
              onChange={(event) => {
                const next = Number(event.target.value);
                setSeconds(next);
                choose({ ...chosen, until: until(next) });
              }}
            >
              {TIMES.map(([words, length]) => (
                <option key={length} value={length}>
                  {words}
                </option>
              ))}
            </select>
          </label>
        ) : null}
      </fieldset>
    </details>
  );
}
