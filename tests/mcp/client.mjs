// The official TypeScript client, for the tests: `node client.mjs PATH_OF_SDK URL` connects to a server of ours, lists
// its tools page by page, calls `add` and one that is not there, and prints what came back as one line of JSON.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [sdk, url] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(path.join(sdk, 'dist/esm/client', file)).href);
const { Client } = await load('index.js');
const { StreamableHTTPClientTransport } = await load('streamableHttp.js');

const client = new Client({ name: 'test', version: '1' });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const tools = [];
let cursor;
do {
  const page = await client.listTools(cursor ? { cursor } : undefined);
  tools.push(...page.tools.map((tool) => tool.name));
  cursor = page.nextCursor;
} while (cursor);
const sum = await client.callTool({ name: 'add', arguments: { a: 2, b: 3 } });
const missing = await client.callTool({ name: 'nothing', arguments: {} }).catch((error) => ({ refused: error.code }));
console.log(JSON.stringify({ server: client.getServerVersion(), tools: tools.length, sum, missing }));
await client.close();
