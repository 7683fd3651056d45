import { useMemo } from 'react';
import { count } from '../text/formats';
import { exact } from '../text/visible';

const MOST_ROWS = 200;
const MOST_COLUMNS = 40;

/** A table out of separated values; its beginning, with what is left out. */
export function TableView({ text, name, separator }: { text: string; name: string; separator?: string }) {
  const rows = useMemo(() => parse(text, separator ?? likely(text)), [text, separator]);
  const [head = [], ...body] = rows.map((row) => row.slice(0, MOST_COLUMNS));
  const number = head.map((_, column) => body.length > 0 && body.slice(0, 50).every((row) => /^-?[\d.,\s]*\d%?$/.test(row[column] ?? '')));
  const left = body.length - MOST_ROWS;
  return (
    <div className="looked">
      <div className="scroll" tabIndex={0} role="group" aria-label={name}>
        <table>
          <thead>
            <tr>
              {head.map((cell, column) => (
                <th key={column} scope="col" className={number[column] ? 'number' : undefined}>
                  {exact(cell)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {body.slice(0, MOST_ROWS).map((row, index) => (
              <tr key={index}>
                {row.map((cell, column) => (
                  <td key={column} className={number[column] ? 'number' : undefined}>
                    {exact(cell)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {left > 0 ? <p className="small soft">{count(left, 'more row')}. Take the file to see everything.</p> : null}
    </div>
  );
}

function likely(text: string): string {
  const line = text.slice(0, text.indexOf('\n') + 1 || undefined);
  const counts = [',', ';', '\t'].map((one) => [one, line.split(one).length] as const);
  return counts.reduce((best, one) => (one[1] > best[1] ? one : best))[0];
}

/** RFC 4180, forgiving: a quote inside quotes is doubled, and line breaks may stand inside quotes. */
export function parse(text: string, separator: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const letter = text[index];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[index + 1] === '"') {
        cell += '"';
        index += 1;
      } else quoted = false;
    } else if (letter === '"' && cell === '') quoted = true;
    else if (letter === separator) {
      row.push(cell);
      cell = '';
    } else if (letter === '\n') {
      row.push(cell.replace(/\r$/, ''));
      rows.push(row);
      row = [];
      cell = '';
    } else cell += letter;
  }
  if (cell !== '' || row.length > 0) rows.push([...row, cell]);
  return rows.filter((one) => one.length > 1 || one[0] !== '');
}
