// Files on their way to the server, with how far they are.

import { PAGE_HEADER, pageWord, refusal, Refusal, type Schemas } from './client';

/** The server's own bound for one file. */
export const MOST_BYTES = 512 * 1024 * 1024;
const LONGEST_NAME = 180;
/** Where files that a person gives lie in the colleague's workspace. */
export const GIVEN = '/workspace/inputs';

/** Sends a file; `progress` goes from 0 to 1. */
export function upload(file: File, progress: (part: number) => void, stop: AbortSignal): Promise<Schemas['FileObject']> {
  return new Promise((done, failed) => {
    // `fetch` does not say how far a body has gone.
    const request = new XMLHttpRequest();
    request.open('POST', '/v1/files');
    request.setRequestHeader(PAGE_HEADER, pageWord());
    request.responseType = 'json';
    request.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      if (request.status === 200) done(request.response as Schemas['FileObject']);
      else failed(refusal(request.status, request.response));
    };
    request.onerror = () => failed(new Refusal(0, 'unreachable', 'The connection broke while the file was sent.'));
    request.onabort = () => failed(new Refusal(0, 'stopped', 'Not sent.'));
    stop.addEventListener('abort', () => request.abort());
    const form = new FormData();
    form.append('file', file, placeName(file.name));
    form.append('purpose', 'user_data');
    request.send(form);
  });
}

/** A name that every file system takes and that cannot be mistaken for another: no folders, no invisible characters. */
export function placeName(name: string): string {
  // eslint-disable-next-line no-control-regex
  const plain = name.normalize('NFC').replace(/[\u0000-\u001f\u007f-\u009f/\\\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, '_');
  const ending = /\.[^.]{1,12}$/.exec(plain)?.[0] ?? '';
  const start = plain.slice(0, plain.length - ending.length);
  let kept = start;
  while (new TextEncoder().encode(kept + ending).length > LONGEST_NAME) kept = kept.slice(0, -1);
  const whole = kept + ending;
  return /^\.*$/.test(whole) ? 'file' : whole;
}

/** Places for files that are given together: of two with the same name, the second gets a number. */
export function places(names: string[]): string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    const plain = placeName(name);
    const ending = /\.[^.]{1,12}$/.exec(plain)?.[0] ?? '';
    let place = plain;
    for (let number = 2; taken.has(place.toLowerCase()); number += 1) {
      place = `${plain.slice(0, plain.length - ending.length)} (${number})${ending}`;
    }
    taken.add(place.toLowerCase());
    return `${GIVEN}/${place}`;
  });
}
