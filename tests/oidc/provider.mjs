// A certified OpenID provider on loopback, for the tests: `node provider.mjs PATH_OF_MODULE`.
// Prints its port, reads the URL of the server that signs people in at it, and says `ready`.
import { randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const file = process.argv[2];
const module = await import(pathToFileURL(file).href);
const Provider = module.Provider ?? module.default;
const { errors } = module;
const jose = createRequire(path.resolve(file))('jose');

// Grants for other systems, as assertions about a person (draft-ietf-oauth-identity-assertion-authz-grant, section 4.3).
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
const jwk = { ...await jose.exportJWK(privateKey), alg: 'RS256', use: 'sig', kid: 'one' };

const exchange = (provider, issuer) => async (ctx, next) => {
  const { client, params } = ctx.oidc;
  if (params.requested_token_type !== ID_JAG || params.subject_token_type !== ID_TOKEN) {
    throw new errors.InvalidRequest('another kind of token');
  }
  let person;
  try {
    person = (await provider.IdToken.validate(params.subject_token, client)).payload;
  } catch {
    throw new errors.InvalidGrant('the ID token is not accepted');
  }
  // The policy of this company: who may, and where to.
  if (person.sub.startsWith('mallory')) throw new errors.AccessDenied('not this person');
  if (params.audience === issuer) throw new errors.InvalidTarget('that is no other system');
  const claims = { client_id: 'agents-elsewhere', resource: params.resource, scope: params.scope };
  const token = await new jose.SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', kid: 'one', typ: 'oauth-id-jag+jwt' })
    .setIssuer(issuer).setAudience(params.audience).setSubject(person.sub)
    .setIssuedAt().setExpirationTime('5m').setJti(randomUUID())
    .sign(privateKey);
  ctx.body = { access_token: token, issued_token_type: ID_JAG, token_type: 'N_A', expires_in: 300, scope: params.scope };
  await next();
};

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
        grant_types: ['authorization_code', 'refresh_token', EXCHANGE],
        redirect_uris: [`${area}/return`],
        post_logout_redirect_uris: [`${line}/`],
        backchannel_logout_uri: `${area}/logout`,
        backchannel_logout_session_required: true,
      }],
      features: {
        backchannelLogout: { enabled: true },
        // It binds tokens to keys for whoever sends a proof, and wants a word of its own in every one.
        dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      },
      claims: { openid: ['sub', 'groups', 'sid'], profile: ['name'], email: ['email', 'email_verified'] },
      findAccount,
      // As strict as one may be: a refresh token is good once, and one that comes again ends them all.
      rotateRefreshToken: true,
      jwks: { keys: [jwk] },
    });
    const params = ['requested_token_type', 'audience', 'resource', 'scope', 'subject_token', 'subject_token_type'];
    provider.registerGrantType(EXCHANGE, exchange(provider, issuer), params);
    server.on('request', provider.callback());
    console.log('ready');
  });
});
// It ends with whoever started it.
process.stdin.on('end', () => process.exit(0));
