// An MCP server that lets in whoever has a token for it: `node accounts.mjs PATH_OF_OIDC_PROVIDER ISSUER`.
// Prints its port. It checks signature, issuer and audience of each token, and tells whose it is by the tool `whoami`.
import http from 'node:http';
import { createRequire } from 'node:module';

const [, , provider, issuer] = process.argv;
const jose = createRequire(provider)('jose');
const keys = jose.createRemoteJWKSet(new URL(`${issuer}/jwks`));
// Tokens that were shown and are none of ours: nobody may ever pass on what was meant for somebody else.
let foreign = 0;

const server = http.createServer((request, response) => {
  const own = `http://127.0.0.1:${server.address().port}`;
  const say = (status, body, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body === undefined ? '' : JSON.stringify(body));
  };
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', async () => {
    if (request.url === '/foreign') return say(200, foreign);
    const document = '/.well-known/oauth-protected-resource/mcp';
    if (request.url === document) {
      return say(200, { resource: `${own}/mcp`, authorization_servers: [issuer], scopes_supported: ['files:read'] });
    }
    if (request.url !== '/mcp') return say(404, {});
    const shown = request.headers.authorization;
    let who;
    try {
      const token = shown.replace(/^Bearer /, '');
      who = (await jose.jwtVerify(token, keys, { issuer, audience: `${own}/mcp` })).payload.sub;
    } catch {
      if (shown) foreign += 1;
      return say(401, {}, { 'www-authenticate': `Bearer resource_metadata="${own}${document}"` });
    }
    if (request.method !== 'POST') return say(405, {});
    const { id, method, params } = JSON.parse(Buffer.concat(chunks).toString());
    if (id === undefined) return say(202);
    const result = (result) => say(200, { jsonrpc: '2.0', id, result });
    switch (method) {
      case 'initialize':
        return result({
          protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'accounts', version: '1' },
        });
      case 'tools/list':
        return result({ tools: [{ name: 'whoami', description: 'Says whose account it is.', inputSchema: { type: 'object' } }] });
      case 'tools/call':
        return result({ content: [{ type: 'text', text: `the account of ${who}` }] });
      default:
        return say(200, { jsonrpc: '2.0', id, error: { code: -32601, message: `no ${method} here` } });
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
