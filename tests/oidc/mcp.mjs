// An authorization server for MCP on loopback, for the tests: `node mcp.mjs PATH_OF_MODULE`.
// Prints its port, reads the URL of the resource that it gives out tokens for, and says `ready`.
import http from 'node:http';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const { Provider, errors } = await import(pathToFileURL(process.argv[2]).href);

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(server.address().port);
  readline.createInterface({ input: process.stdin }).once('line', (resource) => {
    const provider = new Provider(issuer, {
      clients: [{
        client_id: 'configured',
        client_secret: 'the-clients-secret',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: ['http://127.0.0.1:9/return'],
        application_type: 'native',
      }],
      scopes: ['openid', 'offline_access', 'files:read', 'files:write'],
      features: {
        registration: { enabled: true },
        revocation: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo(_ctx, indicator) {
            if (indicator !== resource) throw new errors.InvalidTarget();
            return { scope: 'files:read files:write', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 60 };
          },
        },
      },
      findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    });
    server.on('request', provider.callback());
    console.log('ready');
  });
});
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0));
