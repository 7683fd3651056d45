// The certified OpenID provider of tests/oidc, for signing in with a company's account.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { repository } from './world.mjs';

export class Provider {
  static async start() {
    const provider = new Provider();
    const module = join(repository, 'target/tools/oidc-provider/node_modules/oidc-provider/lib/index.js');
    const script = join(repository, 'tests/oidc/provider.mjs');
    provider.child = spawn(process.execPath, [script, module], { stdio: ['pipe', 'pipe', 'ignore'] });
    provider.lines = createInterface({ input: provider.child.stdout })[Symbol.asyncIterator]();
    const { value: port, done } = await provider.lines.next();
    if (done) throw new Error('the OpenID provider is not there: ./test installs it into target/tools');
    provider.issuer = `http://127.0.0.1:${port}`;
    return provider;
  }

  /** What a server is told of it. */
  get configuration() {
    return `
[identity.oidc]
issuer = "${this.issuer}"
client_id = "bailiwick"
client_secret_env = "CLIENT_SECRET"
private_network = true
`;
  }

  get variables() {
    return { CLIENT_SECRET: 'the-clients-secret' };
  }

  async knows(url) {
    this.child.stdin.write(`${url}\n`);
    await this.lines.next();
  }

  stop() {
    this.child.stdin.end();
  }
}
