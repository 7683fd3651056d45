// The authorization server of another system, on loopback, for the tests: `node elsewhere.mjs PATH_OF_MODULE ISSUER`.
// It trusts the provider at ISSUER, and gives access tokens for its assertions about people
// (draft-ietf-oauth-identity-assertion-authz-grant, section 4.4). Prints its port.
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , file, trusted] = process.argv;
const module = await import(pathToFileURL(file).href);
const Provider = module.Provider ?? module.default;
const { errors } = module;
const jose = createRequire(path.resolve(file))('jose');
const { default: proven } = await import(pathToFileURL(path.join(path.dirname(file), 'helpers/validate_dpop.js')).href);

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const used = new Set();

const server = http.createServer();
server.listen(0, '127.0.0.1', async () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const metadata = await (await fetch(`${trusted}/.well-known/openid-configuration`)).json();
  const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'agents-elsewhere',
      client_secret: 'the-agents-secret',
      grant_types: [GRANT],
      redirect_uris: [],
      response_types: [],
    }],
    scopes: ['openid', 'ledger.read', 'ledger.write'],
    // It binds tokens to keys, and wants a word of its own in every proof.
    features: {
      introspection: { enabled: true },
      dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
    },
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  });
  provider.registerGrantType(GRANT, async (ctx, next) => {
    const { client, params } = ctx.oidc;
    const proof = await proven(ctx);
    let claims;
    try {
      const read = { issuer: trusted, audience: issuer, typ: 'oauth-id-jag+jwt', requiredClaims: ['exp', 'iat', 'jti', 'sub', 'client_id'] };
      claims = (await jose.jwtVerify(params.assertion, keys, read)).payload;
    } catch {
      throw new errors.InvalidGrant('the assertion is not accepted');
    }
    if (claims.client_id !== client.clientId || claims.resource !== params.resource || used.has(claims.jti)) {
      throw new errors.InvalidGrant('the assertion is for somebody or something else');
    }
    used.add(claims.jti);
    const grant = new provider.Grant({ accountId: claims.sub, clientId: client.clientId });
    grant.addOIDCScope(claims.scope);
    const token = new provider.AccessToken({
      accountId: claims.sub, client, grantId: await grant.save(), scope: claims.scope, gty: 'jwt_bearer',
    });
    if (proof) token.setThumbprint('jkt', proof.thumbprint);
    ctx.body = { access_token: await token.save(), token_type: token.tokenType, expires_in: token.expiration, scope: claims.scope };
    await next();
  }, ['assertion', 'resource', 'scope']);
  server.on('request', provider.callback());
  console.log(server.address().port);
});
// It ends with whoever started it.
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
