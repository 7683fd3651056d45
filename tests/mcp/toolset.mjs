// The official TypeScript client at a toolset: `node toolset.mjs PATH_OF_SDK URL KEY` lists the tools, calls the echo of
// the reference server and one that the agent was not given, and prints what came back as one line of JSON.
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [sdk, url, key] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(path.join(sdk, 'dist/esm/client', file)).href);
const { Client } = await load('index.js');
const { StreamableHTTPClientTransport } = await load('streamableHttp.js');

const client = new Client({ name: 'test', version: '1' });
const requestInit = { headers: { Authorization: `Bearer ${key}` } };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
const { tools } = await client.listTools();
const echo = await client.callTool({ name: 'every__echo', arguments: { message: 'grüße' } });
const wrong = await client.callTool({ name: 'every__echo', arguments: { message: 7 } });
const other = await client.callTool({ name: 'every__get-sum', arguments: { a: 1, b: 2 } });
console.log(JSON.stringify({ server: client.getServerVersion(), tools, echo, wrong, other }));
await client.close();
