// Debian's Chromium, as the journeys use it, and what they hold every page to.

import { chromium } from 'playwright-core';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const DESK = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };

export function launch(flags = []) {
  return chromium.launch({ executablePath: EXECUTABLE, headless: true, args: [...FLAGS, ...flags] });
}

/** A window that remembers every request and every complaint of the page. */
export async function open(browser, world, options = {}) {
  const context = await browser.newContext({ baseURL: world.pages, viewport: DESK, locale: 'en', acceptDownloads: true, ...options });
  const page = await context.newPage();
  const seen = { requests: [], complaints: [], script: 0 };
  context.on('request', (request) => seen.requests.push(request.url()));
  page.on('console', (message) => {
    if (message.type() === 'error') seen.complaints.push(message.text());
  });
  page.on('pageerror', (error) => seen.complaints.push(String(error)));
  page.on('response', async (response) => {
    if (!/\.js$/.test(new URL(response.url()).pathname)) return;
    seen.script += (await response.request().sizes().catch(() => ({ responseBodySize: 0 }))).responseBodySize;
  });
  return { context, page, seen };
}

export async function signIn(page, login, password) {
  await page.getByLabel('Name').fill(login);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: /settings and signing out/ }).waitFor();
}

/** Every request that left for another host than the world's. `data:` and `blob:` go nowhere. */
export function elsewhere(seen, world) {
  return seen.requests.filter((url) => !url.startsWith(`${world.pages}/`) && !/^(data|blob):/.test(url));
}

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What a checker finds that keeps people out: serious and critical only. It runs beside the page's own scripts. */
export async function barriers(page) {
  await page.evaluate(`${axe}; undefined`);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const heavy = found.violations.filter((one) => one.impact === 'serious' || one.impact === 'critical');
  return heavy.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.target.join(' ')).join(', ')}`);
}
