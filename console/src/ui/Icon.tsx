// Small drawings beside words; never without words.

const PATHS = {
  work: 'M4 6h16M4 12h16M4 18h10',
  colleagues: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7Zm-6 9c0-3.3 2.7-6 6-6s6 2.7 6 6M16 4.5a3.5 3.5 0 0 1 0 6.5M17.5 14.3c2.1.8 3.5 2.9 3.5 5.7',
  inbox: 'M4 13h4l2 3h4l2-3h4M5 5h14l1 8v6H4v-6Z',
  memory: 'M6 4h12v16l-6-4-6 4Z',
  console: 'M4 20V10M10 20V4M16 20v-8M21 20H3',
  plus: 'M12 5v14M5 12h14',
  file: 'M7 3h7l4 4v14H7ZM14 3v4h4',
  stop: 'M7 7h10v10H7Z',
  send: 'M5 12h13M13 6l6 6-6 6',
  down: 'M12 5v10M7 11l5 5 5-5M5 20h14',
  close: 'M6 6l12 12M18 6 6 18',
  check: 'M5 13l4.5 4.5L19 7',
  clip: 'M8 12.5 14 6.5a3 3 0 0 1 4.2 4.2l-8 8a4.6 4.6 0 0 1-6.5-6.5L11 4.8',
  receipt: 'M6 3h12v18l-3-2-3 2-3-2-3 2ZM9 8h6M9 12h6',
  leave: 'M14 4h5v16h-5M4 12h10M10 8l4 4-4 4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round">
      <path d={PATHS[name]} />
    </svg>
  );
}
