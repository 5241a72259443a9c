// The console and the documentation in a real browser: what a person does with them, with the mouse and with the
// keyboard alone, on a desk and on a phone, in light and in dark; and pictures of the main pages.
//
//   node console.js             the tests
//   node console.js --pictures  the tests, and docs/images/ anew

import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { test, before, after } from 'node:test';
import { chromium } from 'playwright-core';
import { Florin } from './florin.js';

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const images = new URL('../../docs/images/', import.meta.url).pathname;
const withPictures = process.argv.includes('--pictures');
const SCHEMES = ['light', 'dark'];

let florin, browser, waiting, complaints;

before(async () => {
  florin = await Florin.start();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Tests run in containers, as root: there is no sandbox to be had there, and all pages are ours.
    args: ['--no-sandbox'],
  });
  await furnish();
});

after(async () => {
  await browser?.close();
  await florin?.stop();
});

// Wallets with a past, and something that waits.
async function furnish() {
  for (const [ticker, amounts] of [['USD', [1200, 80.5, 310, 42.25]], ['EUR', [900, 15]], ['USDT', [0.000001, 2500.75]]]) {
    for (const amount of amounts) {
      await florin.post('/invoice', { wallet_id: 1, ticker, amount });
      await florin.post('/withdraw', { wallet_id: 1, ticker, amount: Math.floor(amount / 3) + 0.01 }).catch(() => {});
    }
  }
  await florin.post('/transfer', { wallet_id: 1, to_wallet_id: 2, ticker: 'USD', amount: 99.99 });
  await florin.post('/withdraw', { wallet_id: 2, ticker: 'USD', amount: 12, pending: true, timeout: 86400 });
  await florin.post('/invoice', { wallet_id: 3, ticker: 'EUR', amount: 250, pending: true });
  const metadata = { order: 'A-1017', channel: 'shop' };
  const held = { wallet_id: 1, ticker: 'USD', amount: 120.5, pending: true, metadata };
  waiting = (await florin.post('/withdraw', held)).transaction_id;
}

// A page that notes what must not happen: messages on the console, requests to elsewhere.
async function open(options = {}) {
  const context = await browser.newContext({ baseURL: florin.http_url, viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  complaints = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'data:' && origin !== florin.http_url) complaints.push(`a request to ${request.url()}`);
  });
  return page;
}

async function signIn(page) {
  await page.goto('/console');
  await page.getByLabel('API key').fill(florin.operator_key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
}

async function close(page) {
  await page.context().close();
  assert.deepEqual(complaints, []);
}

// The highest rate that the chart of the overview speaks of.
const highest = (page) => page.locator('#rate-chart svg').getAttribute('aria-label');

async function violations(page) {
  // By the protocol of the debugger, for the page itself lets no foreign script in.
  await page.evaluate(await readFile(axe, 'utf8'));
  const { violations, passes } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.ok(passes.some(({ id }) => id === 'color-contrast'), 'the rules were applied');
  return violations
    .filter(({ impact }) => ['serious', 'critical'].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join('; ')}`);
}

const pages = () => ({
  overview: '/console',
  wallets: '/console/wallets',
  wallet: '/console/wallets/1?ticker=USD',
  transaction: `/console/transactions/${waiting}`,
  settle: `/console/transactions/${waiting}/settle`,
  pending: '/console/pending',
  dead: '/console/dead',
  missing: '/console/wallets/99',
  docs: '/docs',
});

test('pages are fit for everybody, in light and in dark', async () => {
  for (const colorScheme of SCHEMES) {
    const page = await open({ colorScheme });
    await page.goto('/console/sign-in');
    assert.deepEqual(await violations(page), [], `sign-in, ${colorScheme}`);
    await signIn(page);
    for (const [name, path] of Object.entries(pages())) {
      await page.goto(path);
      if (name === 'overview') await page.getByText('Live', { exact: true }).waitFor();
      assert.deepEqual(await violations(page), [], `${name}, ${colorScheme}`);
    }
    complaints = complaints.filter((text) => !text.includes('404'));
    await close(page);
  }
});

test('pictures of the pages', { skip: !withPictures }, async () => {
  await mkdir(images, { recursive: true });
  for (const colorScheme of SCHEMES) {
    const page = await open({ colorScheme, viewport: { width: 1280, height: 860 } });
    await signIn(page);
    for (const name of ['wallets', 'wallet', 'transaction', 'pending', 'docs']) {
      await page.goto(pages()[name]);
      await page.screenshot({ path: `${images}${name}-${colorScheme}.png` });
    }
    await close(page);
  }
  const phone = await open({ viewport: { width: 360, height: 740 } });
  await signIn(phone);
  await phone.goto(pages().wallet);
  await phone.screenshot({ path: `${images}wallet-phone.png` });
  await close(phone);
});

test('a wallet is found and a pending withdrawal is settled with the keyboard alone', async () => {
  const page = await open();
  const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  const tabTo = async (target) => {
    for (let presses = 0; presses < 60; presses += 1) {
      await press('Tab');
      if (await target.evaluate((element) => element === document.activeElement)) return;
    }
    assert.fail(`the keyboard does not reach ${target}`);
  };
  await page.goto('/console');
  // The field has the focus from the start: nothing else is pressed before.
  await page.waitForFunction(() => document.activeElement.id === 'key');
  await page.keyboard.type(florin.operator_key);
  await press('Enter');
  await page.getByRole('heading', { name: 'Overview' }).waitFor();

  await press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  assert.equal(outline, 'solid', 'the focus is seen');
  await press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'content');

  await page.goto('/console/wallets');
  await tabTo(page.getByLabel('From number'));
  await page.keyboard.type('1');
  await press('Enter');
  await page.waitForURL('**/console/wallets?from=1');
  await tabTo(page.getByRole('link', { name: '1', exact: true }));
  await press('Enter');
  await page.getByRole('heading', { name: 'Wallet 1' }).waitFor();
  await tabTo(page.getByRole('link', { name: waiting }).first());
  await press('Enter');
  await tabTo(page.getByRole('link', { name: 'Settle…' }));
  await press('Enter');
  const amount = page.getByLabel('Amount in USD');
  await tabTo(amount);
  await press('ControlOrMeta+a');
  await page.keyboard.type('100.25');
  await tabTo(page.getByRole('button', { name: 'Settle this amount' }));
  await press('Enter');
  const told = page.getByRole('status');
  await told.waitFor();
  assert.match(await told.textContent(), /100\.25 were settled/);
  assert.equal(await page.getByRole('link', { name: 'Settle…' }).count(), 0);
  await close(page);
});

test('the search finds wallets and transactions, and says what it does not understand', async () => {
  const page = await open();
  await signIn(page);
  const search = async (words) => {
    await page.getByLabel('Transaction id or wallet number').fill(words);
    await page.getByRole('button', { name: 'Find' }).click();
  };
  await search('2');
  await page.getByRole('heading', { name: 'Wallet 2' }).waitFor();
  await search(waiting);
  await page.getByRole('heading', { name: 'Transaction' }).waitFor();
  await search('somebody');
  await page.getByText('enter a transaction id').waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.goto('/console/wallets');
  await page.waitForURL('**/console/sign-in?next=*');
  complaints = complaints.filter((text) => !text.includes('400'));
  await close(page);
});

test('nothing is wider than a phone', async () => {
  const page = await open({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await signIn(page);
  for (const [name, path] of Object.entries(pages())) {
    await page.goto(path);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${name} is ${width} pixels wide`);
  }
  complaints = complaints.filter((text) => !text.includes('404'));
  await close(page);
});

test('the pages work without scripts', async () => {
  const page = await open({ javaScriptEnabled: false });
  await signIn(page);
  for (const path of Object.values(pages())) {
    await page.goto(path);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1, path);
  }
  const held = { wallet_id: 1, ticker: 'USD', amount: 1, pending: true };
  const { transaction_id: id } = await florin.post('/withdraw', held);
  await page.goto(`/console/transactions/${id}`);
  await page.getByRole('link', { name: 'Cancel…' }).click();
  await page.getByRole('button', { name: 'Cancel the transaction' }).click();
  assert.match(await page.getByRole('status').textContent(), /The money was released/);
  complaints = complaints.filter((text) => !text.includes('404'));
  await close(page);
});

test('the charts move under load', async () => {
  const page = await open();
  await signIn(page);
  await page.getByText('Live', { exact: true }).waitFor();
  const before = await highest(page);
  const bench = florin.run('bench', '--yes', '--duration', '4s', '--warm-up', '500ms', '--in-flight', '20');
  await page.waitForFunction(
    (before) => {
      const label = document.querySelector('#rate-chart svg').getAttribute('aria-label');
      const rate = Number(document.querySelector('#rate').textContent.replaceAll(',', ''));
      return label !== before && rate > 100;
    },
    before,
    { timeout: 30_000 },
  );
  await page.locator('#instance').getByText('active').waitFor();
  assert.match(await page.locator('#latency-chart path').first().getAttribute('d'), /^M[\d.]+ [\d.]+h0\.1/);
  assert.equal(await bench.ended, 0);
  await close(page);
});

test('pictures of the overview', { skip: !withPictures }, async () => {
  const load = florin.run('bench', '--yes', '--duration', '60s', '--warm-up', '100ms', '--in-flight', '4');
  const views = [...SCHEMES.map((name) => ({ name, options: { colorScheme: name, viewport: { width: 1280, height: 860 } } })),
    { name: 'phone', options: { viewport: { width: 360, height: 740 } } }];
  for (const { name, options } of views) {
    const page = await open(options);
    await signIn(page);
    await page.waitForFunction(() => document.querySelector('#dead').textContent !== '–'
      && document.querySelector('#latency-chart path').getAttribute('d')?.split('L').length > 50, null, { timeout: 90_000 });
    await page.screenshot({ path: `${images}overview-${name}.png` });
    await close(page);
  }
  await load.ended;
});
