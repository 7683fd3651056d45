// Where somebody says what is to be done: words, and files that are dropped, pasted or chosen.

import { useId, useRef, useState, type DragEvent, type FormEvent, type KeyboardEvent, type ReactNode } from 'react';
import { bytes } from '../text/formats';
import { oneLine } from '../text/visible';
import { Icon } from '../ui/Icon';
import { Problem } from '../ui/Pending';
import { useDraft } from './draft';
import { useGivenFiles, type Given, type GivenFiles } from './given';

export interface Order {
  text: string;
  files: { id: string; name: string }[];
}

interface Parts {
  /** Under which name what is not sent yet is kept in this browser. */
  draft: string;
  label: string;
  placeholder: string;
  send: string;
  /** Whether files can be given. */
  takesFiles: boolean;
  /** The order is taken when this is fulfilled; what fails is shown, and nothing that was written is lost. */
  order: (order: Order) => Promise<void>;
  beside?: ReactNode;
  autoFocus?: boolean;
}

export function Composer(parts: Parts) {
  const [text, setText] = useDraft(parts.draft);
  const given = useGivenFiles();
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const [over, setOver] = useState(false);
  const field = useId();
  const may = !busy && text.trim() !== '' && given.ready;

  const send = async () => {
    if (!may) return;
    setBusy(true);
    setProblem(undefined);
    try {
      const files = given.files.map((one) => ({ id: one.id ?? '', name: one.file.name }));
      await parts.order({ text: text.trim(), files });
      setText('');
      given.clear();
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const key = (event: KeyboardEvent) => {
    const finger = window.matchMedia('(pointer: coarse)').matches;
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing || finger) return;
    event.preventDefault();
    void send();
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    if (parts.takesFiles) given.add(event.dataTransfer.files);
  };

  return (
    <form
      className={over ? 'composer over' : 'composer'}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        void send();
      }}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(parts.takesFiles);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <label htmlFor={field} className="unseen">
        {parts.label}
      </label>
      <textarea
        id={field}
        rows={Math.min(10, Math.max(parts.autoFocus ? 3 : 1, text.split('\n').length))}
        placeholder={parts.placeholder}
        value={text}
        autoFocus={parts.autoFocus}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={key}
        onPaste={(event) => {
          if (parts.takesFiles && event.clipboardData.files.length > 0) given.add(event.clipboardData.files);
        }}
      />
      <Files given={given} />
      {problem ? <Problem error={problem} /> : null}
      <div className="row apart">
        <div className="row">
          {parts.takesFiles ? <Choose given={given} /> : null}
          {parts.beside}
        </div>
        <button className="button primary" disabled={!may}>
          {busy ? <span className="spinner" /> : <Icon name="send" />} {parts.send}
        </button>
      </div>
    </form>
  );
}

function Choose({ given }: { given: GivenFiles }) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button type="button" className="button bare small" onClick={() => input.current?.click()}>
        <Icon name="clip" /> Give files
      </button>
      <input
        ref={input}
        type="file"
        multiple
        hidden
        aria-label="Files to give"
        onChange={(event) => {
          given.add(event.target.files ?? []);
          event.target.value = '';
        }}
      />
    </>
  );
}

function Files({ given }: { given: GivenFiles }) {
  if (given.files.length === 0) return null;
  return (
    <ul className="given" aria-label="Files that are given along">
      {given.files.map((one) => (
        <GivenFile key={one.key} one={one} remove={() => given.remove(one.key)} />
      ))}
    </ul>
  );
}

function GivenFile({ one, remove }: { one: Given; remove: () => void }) {
  const name = oneLine(one.file.name, 60);
  return (
    <li className={one.problem ? 'bad' : undefined}>
      <Icon name="file" />
      <span>
        {name} <span className="faint small">{bytes(one.file.size)}</span>
        {one.problem ? <span className="small"> {one.problem}</span> : null}
      </span>
      {one.id || one.problem ? null : <progress value={one.sent} max={1} aria-label={`Sending ${name}`} />}
      <button type="button" className="button bare small" onClick={remove} aria-label={`Take ${name} away`}>
        <Icon name="close" />
      </button>
    </li>
  );
}
