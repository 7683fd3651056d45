// The journeys of an employee through the pages of a real server, with a rehearsed model and real everything else.
// Pictures of what was seen go to target/pages.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { mkdir, open as openFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { barriers, elsewhere, launch, open, PHONE, signIn } from './browser.mjs';
import { Provider } from './provider.mjs';
import { PASSWORD, repository, World } from './world.mjs';

const PICTURES = join(repository, 'target/pages');
const LEDGER = { name: 'ledger.csv', mimeType: 'text/csv', buffer: Buffer.from('customer,amount\nAbel,120\nBaker,80.50\n') };
/** How long something may take that a model, a sandbox and a browser do together. */
const PATIENCE = Number(process.env.PATIENCE ?? 60_000);
/** Compressed script of the first view, in bytes. */
const SCRIPT_BUDGET = 150 * 1024;

let world;
let browser;
let canary;
const windows = [];

before(async () => {
  await mkdir(PICTURES, { recursive: true });
  world = await World.make(Number(process.env.PORT ?? 0));
  canary = await listen();
  browser = await launch([`--host-resolver-rules=MAP canary.test 127.0.0.1:${canary.port}`]);
});

after(async () => {
  await Promise.all(windows.map((one) => one.context.close()));
  await browser?.close();
  canary?.server.close();
  await world?.remove();
});

/** Somebody who only counts who comes. */
async function listen() {
  const visits = [];
  const server = createServer((request, response) => {
    visits.push(request.url);
    response.end();
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { server, visits, port: server.address().port };
}

async function window(options) {
  const opened = await open(browser, world, options);
  opened.page.setDefaultTimeout(PATIENCE);
  windows.push(opened);
  return opened;
}

async function asSofia(options) {
  const opened = await window(options);
  await opened.page.goto('/');
  await signIn(opened.page, 'sofia', PASSWORD);
  return opened;
}

async function picture(page, name) {
  await page.screenshot({ path: join(PICTURES, `${name}.png`) });
}

async function noBarriers(page, where) {
  assert.deepEqual(await barriers(page), [], where);
}

/** Gives the examiner something to do, and comes to the page of that work. */
async function begin(page, text, file) {
  await page.goto('/');
  await page.getByRole('radio', { name: /Ledger examiner/ }).check();
  if (file) {
    await page.locator('input[type=file]').setInputFiles(file);
    await page.locator('.given li').waitFor();
    await page.locator('.given progress').waitFor({ state: 'detached' });
  }
  await page.getByRole('textbox', { name: /shall Ledger examiner do/ }).fill(text);
  await page.getByRole('button', { name: 'Begin' }).click();
  await page.waitForURL(/\/work\/sess_/);
  await page.getByRole('heading', { level: 1, name: text }).waitFor();
}

const asked = (page) => page.getByRole('article', { name: /may I write a file/ });

test('an employee signs in, gives work, watches, approves on a phone and takes the result', async () => {
  const { page, seen, context } = await window();
  const response = await page.goto('/inbox');
  const policy = response.headers()['content-security-policy'] ?? '';
  for (const part of process.env.PAGES ? [] : ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]) {
    assert.ok(policy.split('; ').includes(part), policy);
  }
  assert.ok(!/unsafe|\*|http/.test(policy), policy);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await noBarriers(page, 'sign-in');
  await picture(page, 'sign-in');
  await signIn(page, 'sofia', PASSWORD);
  // The same place comes back.
  await page.getByRole('heading', { name: 'Inbox' }).waitFor();
  await page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();

  await page.goto('/');
  await page.getByRole('heading', { name: 'What shall be done, Sofia?' }).waitFor();
  await noBarriers(page, 'home');
  await picture(page, 'home');
  await begin(page, 'Add up the ledger', LEDGER);
  await asked(page).waitFor();
  await page.getByText('Denied by the rule').waitFor();
  await noBarriers(page, 'work');
  await picture(page, 'work-asks');

  const phone = await asSofia({ viewport: PHONE, isMobile: true, hasTouch: true, colorScheme: 'dark' });
  await phone.page.getByRole('link', { name: /Inbox 1 waiting for you/ }).tap();
  await asked(phone.page).getByRole('group', { name: 'content' }).getByText('120.00 for Abel').waitFor();
  await asked(phone.page).getByText('/workspace/outputs/letter.md').first().waitFor();
  await noBarriers(phone.page, 'inbox on a phone');
  await picture(phone.page, 'inbox-phone');
  await phone.page.getByRole('button', { name: 'Approve' }).tap();
  await phone.page.getByRole('heading', { name: 'Nothing waits for you' }).waitFor();

  // Whoever watches sees it go on by itself.
  await page.getByRole('heading', { name: 'Results' }).waitFor();
  await page.getByRole('cell', { name: '80.50' }).first().waitFor();
  const [taken] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Take totals.csv' }).click()]);
  assert.equal(await readFile(await taken.path(), 'utf8'), 'customer,total\nAbel,120.00\nBaker,80.50\n');
  await page.getByRole('button', { name: 'Look at chart.svg' }).click();
  await page.getByRole('img', { name: 'chart.svg' }).waitFor();
  await noBarriers(page, 'results');
  await picture(page, 'results');
  await phone.page.getByRole('link', { name: 'Work', exact: true }).tap();
  await phone.page.getByRole('main').getByRole('link', { name: 'Add up the ledger' }).tap();
  await phone.page.getByRole('heading', { name: 'Results' }).waitFor();
  await noBarriers(phone.page, 'work on a phone');
  await picture(phone.page, 'work-phone');

  // A receipt stands behind the letter.
  await page.getByText('Wrote /workspace/outputs/letter.md').click();
  await page.getByRole('link', { name: 'Receipt' }).filter({ visible: true }).click();
  await page.getByRole('article', { name: 'Done' }).waitFor();
  await page.getByRole('article', { name: 'A person was asked' }).getByText('letters-are-read').first().waitFor();
  await noBarriers(page, 'receipt');
  await picture(page, 'receipt');

  for (const path of ['/colleagues', `/colleagues/${world.examiner.id}`, '/memory', '/work']) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1 }).waitFor();
    await page.waitForLoadState('networkidle').catch(() => undefined);
    await noBarriers(page, path);
    await picture(page, `page${path.replaceAll('/', '-').replace(world.examiner.id, 'one')}`);
  }
  assert.deepEqual(elsewhere(seen, world), []);
  assert.deepEqual(elsewhere(phone.seen, world), []);
  assert.deepEqual(seen.complaints.filter((one) => !/ 401 | 404 /.test(one)), []);
  // No script can read who it is.
  const readable = await page.evaluate(() => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert.ok(!/bwu_/.test(readable), readable);
  const cookies = await context.cookies();
  assert.ok(cookies.every((one) => one.httpOnly && one.sameSite === 'Lax'), JSON.stringify(cookies));
});

test('the first view is small', async () => {
  const { page, seen } = await asSofia();
  await page.getByRole('radio', { name: /Ledger examiner/ }).waitFor();
  assert.ok(seen.script > 0 && seen.script <= SCRIPT_BUDGET, `${seen.script} bytes of script`);
});

test('a denial reaches the colleague with its reason, and two tabs cannot answer one question twice', async () => {
  const { page, context } = await asSofia();
  await begin(page, 'The ledger, please', LEDGER);
  await asked(page).waitFor();
  const other = await context.newPage();
  await other.goto('/inbox');
  await asked(other).waitFor();
  // What the other tab shows is old by the time that it answers.
  await other.route('**/bailiwick/v1/approvals?*', (route) => route.abort());
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByLabel(/Why not/).fill('Not before Monday.');
  await page.getByRole('button', { name: 'Deny' }).click();
  await page.getByRole('article', { name: 'Said by the colleague' }).getByText('Not before Monday.').waitFor();
  await other.getByRole('button', { name: 'Approve' }).click();
  await other.getByText('This was answered already').waitFor();
});

test('a wider answer is read before it is given, stands, and is ended', async () => {
  const { page } = await asSofia();
  await begin(page, 'The ledger once more', LEDGER);
  await asked(page).waitFor();
  await page.getByText('Answer for more than this once').click();
  await page.getByLabel(/^every `file.write` of \/workspace\/outputs\/letter.md.* in the session sess_/).check();
  await page.getByRole('button', { name: 'Approve this and the like' }).click();
  await page.getByRole('heading', { name: 'Results' }).waitFor();
  await page.goto('/inbox');
  const standing = page.getByRole('region', { name: 'Your answers that stand' });
  await standing.getByText(/letter.md/).waitFor();
  await noBarriers(page, 'answers that stand');
  await standing.getByRole('button', { name: 'End it' }).click();
  await standing.waitFor({ state: 'detached' });
});

test('work goes on through a killed server, and the page with it', async () => {
  const { page } = await asSofia();
  await begin(page, 'Something slow');
  await page.getByText('part 2 of 12').first().waitFor();
  await world.kill();
  await page.getByText('Connection lost. The work goes on').waitFor();
  await picture(page, 'connection-lost');
  await world.start();
  await page.getByText('Connection lost. The work goes on').waitFor({ state: 'detached' });
  await page.getByText('All twelve parts are done.').waitFor();
  const output = page.locator('details', { hasText: 'Ran for i in' });
  await output.locator('summary').click();
  const text = await output.getByRole('group', { name: 'Output' }).innerText();
  const parts = [...text.matchAll(/part (\d+) of 12/g)].map((one) => Number(one[1]));
  assert.deepEqual(parts, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  assert.equal(await page.getByText('All twelve parts are done.').count(), 1);
  // Whoever comes later sees the same.
  await page.reload();
  await page.getByText('All twelve parts are done.').waitFor();
});

test('a person can say more while it works, and stop it', async () => {
  const { page } = await asSofia();
  await begin(page, 'Another slow one');
  await page.getByText('part 1 of 12').first().waitFor();
  await page.getByRole('textbox', { name: /Tell Ledger examiner something/ }).fill('Hurry, please.');
  await page.getByRole('button', { name: 'Tell' }).click();
  await page.getByRole('article', { name: 'Said by a person' }).getByText('Hurry, please.').waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('Stopped.', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Stop' }).waitFor({ state: 'detached' });
});

test('a sign-in that ends in mid-work loses nothing', async () => {
  const { page, context } = await asSofia();
  await begin(page, 'Good morning');
  await page.getByText('Give me a ledger').waitFor();
  const address = page.url();
  await page.getByRole('textbox').fill('A long thought that must not be lost');
  await context.clearCookies();
  await page.getByRole('button', { name: 'Send' }).click();
  const dialog = page.getByRole('dialog', { name: 'Your sign-in has ended' });
  await dialog.waitFor();
  await noBarriers(page, 'signing in again');
  await picture(page, 'sign-in-again');
  await dialog.getByLabel('Name').fill('sofia');
  await dialog.getByLabel('Password', { exact: true }).fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await dialog.waitFor({ state: 'detached' });
  assert.equal(page.url(), address);
  assert.equal(await page.getByRole('textbox').inputValue(), 'A long thought that must not be lost');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByRole('article', { name: 'Said by a person' }).getByText('A long thought').waitFor();
});

test('text that means harm does none', async () => {
  const { page, seen } = await asSofia();
  await begin(page, 'Do me harm');
  await page.getByText('That was all of it.').waitFor();
  for (const summary of await page.locator('.done summary').all()) await summary.click();
  await page.getByRole('heading', { name: 'Results' }).waitFor();
  await page.getByRole('button', { name: /^Look at/ }).first().click();
  await page.getByRole('region', { name: 'Results' }).getByText("parent.__hacked='artifact'").waitFor();
  await noBarriers(page, 'harm');
  await picture(page, 'harm');
  assert.equal(await page.evaluate(() => window.__hacked), undefined);
  assert.deepEqual(canary.visits, []);
  assert.deepEqual(elsewhere(seen, world), []);
  const inside = page.locator('.transcript');
  assert.equal(await inside.locator('script, iframe, style, form, img, object, embed, svg:not(.icon)').count(), 0);
  const links = await inside.getByRole('link').evaluateAll((all) => all.map((one) => one.getAttribute('href')));
  assert.deepEqual(links.filter((href) => !/^(\/receipts\/|https?:\/\/)/.test(href)), []);
  const text = await inside.innerText();
  // What turns text around or hides in it is written out, and orders to a terminal are gone.
  assert.ok(!/[\u202a-\u202e\u2066-\u2069\u001b]/u.test(text), 'bidi or escape characters');
  assert.ok(text.includes('⟨U+202E⟩'), 'the override is shown');
  assert.ok(text.includes('evil.example'), 'a link says where it leads');
  assert.ok(text.includes('show everything'), 'huge output is folded, and says so');
});

test('another site cannot act with somebody’s cookie', async () => {
  const { page, context } = await asSofia();
  const word = await page.evaluate(async () => (await (await fetch('/bailiwick/v1/me')).json()).page_token);
  const cookie = (await context.cookies()).map((one) => `${one.name}=${one.value}`).join('; ');
  const write = (headers) =>
    fetch(`${world.url}/bailiwick/v1/memories`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ text: 'planted', kind: 'fact' }),
    });
  assert.equal((await write({})).status, 403);
  for (const site of ['cross-site', 'same-site']) {
    assert.equal((await write({ 'x-bailiwick-page': word, 'sec-fetch-site': site })).status, 403, site);
  }
  assert.equal((await write({ 'x-bailiwick-page': word, 'sec-fetch-site': 'same-origin' })).status, 200);
});

test('what is remembered is seen, corrected and erased', async () => {
  const { page } = await asSofia();
  await page.goto('/memory');
  await page.getByLabel(/Tell your colleagues/).fill('Reports in euros');
  await page.getByRole('button', { name: 'Remember it' }).click();
  const entry = page.getByRole('article').filter({ hasText: 'Reports in euros' });
  await entry.getByRole('button', { name: 'Correct' }).click();
  await page.getByLabel('What is true').fill('Reports in euros, without cents');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Reports in euros, without cents').waitFor();
  await noBarriers(page, 'memory');
  await picture(page, 'memory');
  await page.getByRole('article').filter({ hasText: 'without cents' }).getByRole('button', { name: 'Erase' }).click();
  await page.getByRole('button', { name: 'Erase it' }).click();
  await page.getByRole('article').filter({ hasText: 'without cents' }).waitFor({ state: 'detached' });
});

test('everything goes by keyboard alone', async () => {
  const { page } = await asSofia();
  await page.goto('/');
  await page.getByRole('radio', { name: /Ledger examiner/ }).check();
  await page.getByRole('textbox').focus();
  await page.keyboard.type('Good day to you');
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/work\/sess_/);
  await page.getByText('Give me a ledger').waitFor();
  await page.goto('/inbox');
  await page.getByRole('heading', { level: 1, name: 'Inbox' }).waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Skip to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
  for (const name of ['Work', 'Colleagues', 'Inbox', 'Memory']) {
    const link = page.getByRole('link', { name, exact: true });
    await link.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name }).waitFor();
  }
});

test('those in charge see everybody’s work, stop it, and find what it cost and left', async () => {
  const { page, seen } = await window();
  await page.goto('/console');
  await signIn(page, 'omar', PASSWORD);
  await page.getByRole('heading', { level: 1, name: 'Work' }).waitFor();
  await page.getByRole('cell', { name: 'Sofia Brandt' }).first().waitFor();
  await noBarriers(page, 'console: work');
  await picture(page, 'console-work');

  await begin(page, 'One more slow thing');
  await page.getByText('part 1 of 12').first().waitFor();
  await page.getByRole('link', { name: 'Console' }).click();
  await page.getByRole('button', { name: 'Stop One more slow thing' }).click();
  await page.getByLabel(/Why/).fill('the auditors are here');
  await page.getByRole('dialog').getByRole('button', { name: 'Stop' }).click();
  const stopped = page.getByRole('region', { name: 'Stopped' });
  await stopped.getByText('the auditors are here').waitFor();
  await page.getByRole('link', { name: 'One more slow thing' }).first().click();
  await page.getByText('Somebody stopped this.').waitFor();
  await page.goto('/console/sessions');
  await stopped.getByRole('button', { name: 'Let it work again' }).click();
  await stopped.waitFor({ state: 'detached' });

  for (const [path, text] of [
    ['agents', 'Noah Lind'],
    ['spend', 'Ledger examiner'],
    ['receipts', 'model.call'],
  ]) {
    await page.goto(`/console/${path}`);
    await page.getByRole('cell', { name: text }).first().waitFor();
    await noBarriers(page, `console: ${path}`);
    await picture(page, `console-${path}`);
  }
  await page.getByRole('button', { name: 'What was denied' }).click();
  await page.getByRole('cell', { name: 'denied' }).first().waitFor();
  await page.getByRole('link', { name: 'file.write' }).first().click();
  await page.getByRole('heading', { name: 'Its place in the log' }).waitFor();
  await page.getByText(/hashes up to the checkpoint/).first().waitFor();
  await noBarriers(page, 'receipt with its proof');
  await picture(page, 'receipt-proof');
  assert.deepEqual(elsewhere(seen, world), []);
});

test('whoever signs in with the company’s account comes back to the same place', async () => {
  const provider = await Provider.start();
  const place = await World.make(0, provider.configuration, provider.variables);
  try {
    await provider.knows(place.url);
    const { page, context } = await open(browser, place);
    // The provider's own pages ask for fonts elsewhere; here nobody does.
    await context.route((url) => url.hostname !== '127.0.0.1', (route) => route.abort());
    await page.goto('/memory');
    await page.getByRole('link', { name: 'Sign in with your company’s account' }).click();
    await page.waitForURL(`${provider.issuer}/**`);
    await page.locator('input[name=login]').fill('kim');
    await page.locator('input[name=password]').fill('whatever');
    await page.locator('button[type=submit]').click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(`${place.url}/memory`);
    await page.getByRole('heading', { level: 1, name: 'Memory' }).waitFor();
    await page.getByRole('button', { name: /^kim/ }).waitFor();
    await context.close();
  } finally {
    await place.remove();
    provider.stop();
  }
});

test('a hundred megabytes and a name with every kind of character are taken', async () => {
  const { page } = await asSofia();
  const path = join(world.folder, 'Größe "1" <b>&amp; \u202Efdp.exe 🧾 ’.bin');
  const file = await openFile(path, 'w');
  await file.truncate(100 * 1024 * 1024);
  await file.close();
  await page.getByRole('radio', { name: /Ledger examiner/ }).check();
  await page.locator('input[type=file]').setInputFiles(path);
  await page.getByRole('button', { name: /^Take .* away$/ }).waitFor();
  await page.locator('.given progress').waitFor({ state: 'detached' });
  assert.ok((await page.locator('.given').innerText()).includes('⟨U+202E⟩'));
  await page.getByRole('textbox', { name: /shall Ledger examiner do/ }).fill('Good day');
  await page.getByRole('button', { name: 'Begin' }).click();
  await page.getByText('/workspace/inputs/Größe "1" <b>&amp; _fdp.exe 🧾 ’.bin').waitFor();
  await page.getByText('Give me a ledger').waitFor();
});

test('a story of ten thousand entries is whole, and only what is near is in the page', async () => {
  const { page } = await asSofia();
  await begin(page, 'Good evening');
  await page.getByText('Give me a ledger').waitFor();
  const id = page.url().split('/').at(-1);
  const { body, turn } = await page.evaluate(async (session) => {
    const path = `/v1/agents/sessions/${session}`;
    const stop = new AbortController();
    const stream = await fetch(`${path}/events?include_obfuscation=false`, { headers: { 'last-event-id': '0.0' }, signal: stop.signal });
    const reader = stream.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('agent.session.idle')) text += (await reader.read()).value;
    stop.abort();
    return { body: text.split('\n\n')[0], turn: /"turn_id":"(turn_[0-9a-f]+)"/.exec(text)[1] };
  }, id);
  const entries = Array.from({ length: 10_000 }, (_, index) => {
    const content = [{ type: 'output_text', text: `Entry number ${index + 1}.` }];
    const item = { type: 'message', id: `item_${index}`, turn_id: turn, role: 'assistant', status: 'completed', content, phase: null };
    const event = { event_id: `evt_${index}`, type: 'agent.session.turn.item.done', session_id: id, turn_id: turn, item, output_index: index };
    return `id: ${index + 3}.0\ndata: ${JSON.stringify(event)}`;
  });
  await page.route('**/events?*', (route) => {
    const again = route.request().headers()['last-event-id'] !== '0.0';
    if (again) return route.abort();
    return route.fulfill({ contentType: 'text/event-stream', body: `${[body, ...entries].join('\n\n')}\n\n` });
  });
  await page.reload();
  await page.getByText('Entry number 10000.').waitFor();
  assert.ok((await page.locator('.transcript article').count()) < 200);
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.getByText('Entry number 1.', { exact: true }).waitFor();
  assert.ok((await page.locator('.transcript article').count()) < 200);
});

test('an auditor sees everything and is offered nothing that would be refused', async () => {
  const { page } = await window();
  await page.goto('/');
  await signIn(page, 'ines', PASSWORD);
  await page.getByRole('heading', { level: 1, name: 'Work' }).waitFor();
  assert.equal(await page.getByRole('link', { name: 'New work' }).count(), 0);
  await page.getByRole('main').getByRole('link', { name: 'Good evening' }).click();
  await page.getByText('Give me a ledger').waitFor();
  assert.equal(await page.getByRole('textbox').count(), 0);
  await page.goto('/console');
  await page.getByRole('cell', { name: 'Sofia Brandt' }).first().waitFor();
  assert.equal(await page.getByRole('button', { name: /^Stop/ }).count(), 0);
});

test('work that is deleted under an open page is said to be', async () => {
  const { page, context } = await asSofia();
  await begin(page, 'Short-lived');
  await page.getByText('Give me a ledger').waitFor();
  const other = await context.newPage();
  await other.goto(page.url());
  await other.getByText('About this work').click();
  await other.getByRole('button', { name: 'Delete this work' }).click();
  await other.getByRole('button', { name: 'Delete it' }).click();
  await other.getByRole('heading', { level: 1, name: 'Work' }).waitFor();
  await page.getByText('This work was deleted').waitFor();
});

test('work that waits for an account leads its person there, and offers no yes that would not help', async () => {
  const { page } = await asSofia();
  const account = { connector: 'crm', host: 'crm.example', person_id: world.people.sofia, url: `${world.pages}/bailiwick/v1/connections/crm/start?link=x` };
  const waiting = {
    id: 'act_1', object: 'bailiwick.approval', session_id: 'sess_1', turn_id: 'turn_1', agent_id: world.examiner.id,
    agent_name: 'Ledger examiner', actor: `${world.people.sofia} through ${world.examiner.id}`, operation: 'connector.open',
    what: 'opening crm', arguments: { connector: 'crm' }, digest: '00', rule: 'account', reason: 'your own account is needed',
    approver: { type: 'person' }, approvers: [{ type: 'person' }], asked_at: 1, expires_at: 4_000_000_000, may_answer: true, account,
  };
  const connection = { object: 'bailiwick.connection', connector: 'crm', description: 'Customers', connected: false, url: account.url, url_expires_at: 4_000_000_000 };
  const list = (data) => ({ json: { object: 'list', data, has_more: false, first_id: null, last_id: null } });
  await page.route('**/bailiwick/v1/approvals?*', (route) => route.fulfill(list([waiting])));
  await page.route('**/bailiwick/v1/connections', (route) => route.fulfill(list([connection])));
  await page.goto('/inbox');
  const question = page.getByRole('article', { name: /connect to a system/ });
  assert.equal(await question.getByRole('link', { name: /Connect your account/ }).getAttribute('href'), account.url);
  assert.equal(await question.getByRole('button', { name: 'Approve' }).count(), 0);
  await question.getByRole('button', { name: 'Deny' }).waitFor();
  await page.getByRole('region', { name: /Your accounts/ }).getByRole('link', { name: /Connect your account/ }).waitFor();
  await noBarriers(page, 'an account to connect');
});
