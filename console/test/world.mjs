// A server of its own with people, colleagues and rules, for the journeys and for working on the pages.
// Run by itself (`node test/world.mjs`) it stays until it is stopped, and prints where to sign in.

import { spawn } from 'node:child_process';
import { mkdtemp, writeFile, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
export const repository = resolve(here, '../..');
const binary = process.env.BAILIWICK_BINARY ?? join(repository, 'target/debug/bailiwick');
const ADMIN_KEY = 'bw_the-key-of-the-first-administrator';
export const PASSWORD = 'seven grey herons at dusk';

const CONFIGURATION = `
[money]
currency = "EUR"

[models.rehearsal]
provider = "rehearsal"
scenario = "SCENARIO"
residency = "inside"

[models.rehearsal.prices]
version = 1
input = "2.50"
cached_input = "0.25"
output = "10.00"
`;

const RULES = `
@id("originals-stay")
@reason("what was handed in stays as it is")
@remedy("Write a new file beside it.")
forbid (principal, action == Action::"file.write", resource == File::"/workspace/inputs/ledger.csv");

@id("letters-are-read")
@ask("person")
@reason("a letter goes out in the person's name")
forbid (principal, action == Action::"file.write", resource == File::"/workspace/outputs/letter.md");
`;

const INSTRUCTIONS = 'You examine tables for a finance team. You say what you counted and what you left out.';

/** A running server in a folder of its own. */
export class World {
  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
  }

  /** `more` is added to the configuration, and `variables` to the environment. */
  static async make(port = 0, more = '', variables = {}) {
    const folder = await mkdtemp(join(tmpdir(), 'bailiwick-pages-'));
    const world = new World(folder, port);
    world.variables = variables;
    const scenario = join(here, 'scenario.toml');
    await writeFile(join(folder, 'bailiwick.toml'), CONFIGURATION.replace('SCENARIO', scenario) + more);
    await world.start();
    await world.settle();
    return world;
  }

  async start() {
    const listen = `127.0.0.1:${this.port}`;
    const data = join(this.folder, 'data');
    const given = ['serve', '--data', data, '--config', join(this.folder, 'bailiwick.toml'), '--listen', listen];
    this.child = spawn(binary, given, {
      env: { PATH: process.env.PATH, HOME: this.folder, BAILIWICK_BOOTSTRAP_KEY: ADMIN_KEY, ...this.variables },
      stdio: ['ignore', 'pipe', process.env.BAILIWICK_LOG ? 'inherit' : 'ignore'],
    });
    await new Promise((done, failed) => {
      this.child.stdout.once('data', done);
      this.child.once('exit', (code) => failed(new Error(`the server ended with ${code}`)));
    });
    this.child.stdout.resume();
    const announced = JSON.parse(await readFile(join(data, 'server.json'), 'utf8'));
    this.url = announced.url;
    this.port = Number(new URL(this.url).port);
    // While pages are written, another server may hand them out and pass the rest on.
    this.pages = process.env.PAGES ?? this.url;
  }

  /** Ends the server as a crash would. */
  async kill() {
    const gone = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGKILL');
    await gone;
  }

  async remove() {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  async ask(method, path, body, headers = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json', ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : undefined;
  }

  /** People, colleagues and rules. */
  async settle() {
    this.people = {};
    for (const [login, name, role] of [
      ['sofia', 'Sofia Brandt', 'member'],
      ['noah', 'Noah Lind', 'builder'],
      ['ines', 'Ines Okafor', 'auditor'],
      ['omar', 'Omar Reyes', 'admin'],
    ]) {
      const made = await this.ask('POST', '/bailiwick/v1/people', { name, login, roles: [role] });
      const code = made.set_up.code;
      await this.ask('POST', '/bailiwick/v1/sign-in/set-up', { code, password: PASSWORD }, { authorization: '' });
      this.people[login] = made.id;
    }
    const owner = this.people.noah;
    const memory = { scopes: ['person'] };
    this.examiner = await this.ask('POST', '/v1/agents', {
      name: 'Ledger examiner',
      model: 'rehearsal',
      instructions: INSTRUCTIONS,
      metadata: { description: 'Adds up tables, finds what stands out, and writes it down for people.' },
      bailiwick: { owner, memory },
    });
    await this.ask('POST', '/v1/agents', {
      name: 'Contract reader',
      model: 'rehearsal',
      instructions: 'You read contracts and name dates, duties and sums. You give no legal advice.',
      bailiwick: { owner, remit: { allow: ['model.call', 'environment.*', 'file.read', 'file.list'] } },
    });
    const starter = await this.ask('GET', '/bailiwick/v1/policy');
    await this.ask('POST', '/bailiwick/v1/policy', { text: starter.text + RULES, reason: 'the journeys' });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const world = await World.make(Number(process.env.PORT ?? 7801));
  process.stdout.write(`${world.url}  sofia, noah, ines, omar / ${PASSWORD}\n`);
  process.on('SIGINT', () => world.remove().then(() => process.exit(0)));
}
