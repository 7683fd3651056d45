// Text that a model, a tool or a stranger wrote, so that what is seen is what is there.

/** What turns the direction of text around, or hides. Joiners and direction marks, which scripts need, stay in prose. */
const BIDI = /[\u202a-\u202e\u2066-\u2069\u061c]/gu;
const HIDDEN = /[\u200b\u2060-\u2064\u206a-\u206f\ufeff\u00ad\u{e0000}-\u{e007f}]/gu;
const JOINERS = /[\u200c-\u200f]/gu;
/** Colours and other orders to a terminal. */
// eslint-disable-next-line no-control-regex
const TERMINAL = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])/gu;
// eslint-disable-next-line no-control-regex
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/gu;

function shown(found: string): string {
  const code = found.codePointAt(0) ?? 0;
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`;
}

/** For prose: what hides or turns text around is written out. */
export function prose(text: string): string {
  return text.replace(TERMINAL, '').replace(CONTROL, shown).replace(BIDI, shown).replace(HIDDEN, shown);
}

/** For arguments, names and output: everything that is not seen is written out; a terminal's colours are left out. */
export function exact(text: string): string {
  return prose(text.replace(/\r\n?/g, '\n')).replace(JOINERS, shown);
}

/** One line of at most this many characters, for titles. */
export function oneLine(text: string, most = 80): string {
  const line = prose(text).replace(/\s+/g, ' ').trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}
