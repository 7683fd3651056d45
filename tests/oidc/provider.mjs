// A certified OpenID provider on loopback, for the tests: `node provider.mjs PATH_OF_MODULE`.
// Prints its port, reads the URL of the server that signs people in at it, and says `ready`.
import http from 'node:http';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const { Provider } = await import(pathToFileURL(process.argv[2]).href).then((m) => ({ Provider: m.Provider ?? m.default }));

// Whoever signs in as NAME.GROUP,GROUP belongs to these groups.
const findAccount = async (_ctx, id) => ({
  accountId: id,
  async claims() {
    const [name, groups = ''] = id.split('.');
    return { sub: id, name, email: `${name}@example.org`, email_verified: true, groups: groups.split(',').filter(Boolean) };
  },
});

const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(server.address().port);
  readline.createInterface({ input: process.stdin }).once('line', (line) => {
    const area = `${line}/bailiwick/v1/sign-in/provider`;
    const provider = new Provider(issuer, {
      clients: [{
        client_id: 'bailiwick',
        client_secret: 'the-clients-secret',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [`${area}/return`],
        post_logout_redirect_uris: [`${line}/`],
        backchannel_logout_uri: `${area}/logout`,
        backchannel_logout_session_required: true,
      }],
      features: { backchannelLogout: { enabled: true } },
      claims: { openid: ['sub', 'groups', 'sid'], profile: ['name'], email: ['email', 'email_verified'] },
      findAccount,
    });
    server.on('request', provider.callback());
    console.log('ready');
  });
});
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0));
