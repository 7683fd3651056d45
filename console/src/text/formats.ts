// Numbers and times as people read them.

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const moment = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
];

/** `seconds` since 1970, from here. */
export function ago(seconds: number, now = Date.now() / 1000): string {
  const apart = seconds - now;
  if (Math.abs(apart) < 45) return apart > 0 ? 'in a moment' : 'just now';
  for (const [unit, length] of STEPS) {
    if (Math.abs(apart) >= length) return relative.format(Math.round(apart / length), unit);
  }
  return relative.format(Math.round(apart / 60), 'minute');
}

export function at(time: number | string): string {
  return moment.format(typeof time === 'number' ? time * 1000 : new Date(time));
}

export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(size < 10_240 ? 1 : 0)} KB`;
  return `${(size / 1024 / 1024).toFixed(1)} MB`;
}

export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

/** Micro-units of the one currency. */
export function money(micros: number, currency?: string): string {
  const amount = micros / 1_000_000;
  const digits = amount !== 0 && Math.abs(amount) < 0.1 ? 4 : 2;
  const number = new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return currency ? `${number.format(amount)} ${currency}` : number.format(amount);
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}
