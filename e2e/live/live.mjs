// Opens the live page in a headless Chromium and does what a reader would.
//
//	node live.mjs figures <url>              # prints what the page tells, as JSON
//	node live.mjs page <url>                 # of the demo: every state of it
//	node live.mjs reconnect <url>            # prints open once it is; then somebody restarts the gateway
//	node live.mjs picture <url> <file.png>
//
// The end-to-end tests call it. It exits with 1, and says why, when the page is not as it should be.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

const [what, url, file] = process.argv.slice(2);
const origin = new URL(url).origin;
const patience = 60_000;
const pageLimit = 80 * 1024; // bytes, compressed
const nowLimit = 2 * 1024;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium-headless-shell', args: ['--no-sandbox', '--disable-gpu'] });

// open returns a tab on the page that is fed by its stream. Whatever goes wrong in it fails the run when it is closed.
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type()) && !/ERR_CONNECTION|ERR_INCOMPLETE/.test(message.text())) wrong.push(message.text()); });
  page.on('request', (request) => { if (!request.url().startsWith('data:') && new URL(request.url()).origin !== origin) wrong.push(`a request for ${request.url()}`); });
  await page.addInitScript(() => {
    window.violations = [];
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
  });
  await page.goto(url);
  if (options.javaScriptEnabled !== false) await page.waitForSelector('#charts canvas', { timeout: patience });
  return {
    page,
    text: (selector) => page.locator(selector).innerText(),
    async close() {
      if (options.javaScriptEnabled !== false) wrong.push(...await page.evaluate(() => window.violations));
      assert.deepEqual(wrong, [], 'the page is at odds with its policy, or has errors');
      await context.close();
    },
  };
}

const until = (page, f, argument) => page.waitForFunction(f, argument, { timeout: patience, polling: 100 });

async function rows(page, table) {
  return page.locator(`${table} tbody tr`).evaluateAll((all) => all.map((tr) => [...tr.children].map((cell) => cell.innerText.trim())));
}

async function tellFigures() {
  const { page, text, close } = await open();
  // The windows come with the first event, and are drawn anew: 1 hour.
  await page.selectOption('#window', '1');
  await until(page, () => document.querySelector('#funnel progress'));
  const told = {
    state: await text('#state'), summary: await text('#summary'),
    success: await text('#n-success'), started: await text('#n-started'), spent: await text('#n-spent'),
    funnel: await rows(page, '#funnel'), way: await rows(page, '#way'),
    countries: await rows(page, '[aria-labelledby=countries-title]'), callers: await rows(page, '[aria-labelledby=callers-title]'),
  };
  // What the charts have besides their pictures: a table under each.
  await page.locator('summary').first().click();
  await until(page, () => document.querySelector('#charts details[open] tbody tr')); // which is written once it is open
  told.points = (await rows(page, '#charts details[open]')).length;
  await close();
  console.log(JSON.stringify(told));
}

const checks = {
  async 'light and dark follow the system, and a choice is remembered'() {
    const back = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await open({ colorScheme: 'light' }), dark = await open({ colorScheme: 'dark' });
    const [bright, dim] = [await back(light.page), await back(dark.page)];
    assert.notEqual(bright, dim);
    await dark.page.click('#theme');
    assert.equal(await back(dark.page), bright);
    await dark.page.reload();
    assert.equal(await back(dark.page), bright);
    await light.close();
    await dark.close();
  },
  async 'a phone has it without scrolling sideways'() {
    const { page, close } = await open({ viewport: { width: 360, height: 740 } });
    await page.waitForTimeout(300);
    const { wide, out } = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth,
      out: [...document.querySelectorAll('section *')]
        .filter((el) => !el.closest('.scroll, .quiet, .uplot, caption') && el.getBoundingClientRect().right > 360).map((el) => el.outerHTML.slice(0, 80)),
    }));
    assert.ok(wide <= 360, `it is ${wide} px wide`);
    assert.deepEqual(out, [], 'these are cut off');
    await close();
  },
  async 'axe-core finds nothing'() {
    const source = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
    for (const options of [{ colorScheme: 'light' }, { colorScheme: 'dark' }, { viewport: { width: 360, height: 740 } }]) {
      const { page } = await open({ ...options, bypassCSP: true }); // axe adds a style of its own
      await page.locator('summary').first().click();
      await page.addScriptTag({ path: source });
      const { violations, passes } = await page.evaluate(() => window.axe.run());
      assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')}`), []);
      assert.ok(passes.length > 20, `axe-core looked at ${passes.length} rules only`);
      await page.context().close();
    }
  },
  async 'the keyboard is enough'() {
    const { page, close } = await open({ colorScheme: 'light' });
    const reached = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const [at, visible] = await page.evaluate(() => {
        const el = document.activeElement;
        if (el === document.body) return ['', true];
        return [el.id || el.getAttribute('aria-label') || el.textContent.trim(), getComputedStyle(el).outlineStyle !== 'none'];
      });
      if (!at) break; // past the last
      assert.ok(visible, `nothing shows that ${at} has the focus`);
      reached.push(at);
      if (at === 'theme') {
        await page.keyboard.press('Enter');
        assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
      }
    }
    const order = ['Skip to the content', 'window', 'theme', 'Countries, a table', 'As a table', 'events', 'Slow', 'Outage'].map((name) => reached.indexOf(name));
    assert.ok(order.every((at, i) => at > (order[i - 1] ?? -1)), `the order is ${reached.join(', ')}`);
    await close();
  },
  async 'the page and what it is told are small'() {
    const body = await (await fetch(url)).arrayBuffer();
    const compressed = gzipSync(Buffer.from(body)).length;
    const answer = await fetch(url + '/stream'), seen = { now: [], more: [] };
    let text = '';
    for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
      text += part;
      for (const [, name, data] of text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)) seen[name]?.push(data.length);
      text = text.slice(text.lastIndexOf('\n\n') + 2);
      if (seen.now.length >= 3) break;
    }
    console.log(`page: ${compressed} bytes compressed; each second: ${Math.max(...seen.now)} bytes, each five: ${Math.max(...seen.more)}`);
    assert.ok(compressed <= pageLimit && Math.max(...seen.now) <= nowLimit);
  },
  async 'without JavaScript there are tables, which refresh'() {
    const { page, text, close } = await open({ javaScriptEnabled: false });
    assert.match(await text('#summary'), /verification/);
    assert.equal((await rows(page, '#funnel')).length, 4);
    assert.equal((await rows(page, '#way')).length, 5);
    assert.match(await page.content(), /<noscript><meta http-equiv="refresh" content="10"><\/noscript>/);
    for (const id of ['choices', 'faults']) assert.ok(!await page.locator('#' + id).isVisible(), `${id} is of no use without JavaScript`);
    await close();
  },
  async 'a fault that is switched on shows, and goes'() {
    const { page, text, close } = await open();
    const before = await text('#state');
    assert.equal(before.toLowerCase(), 'ok', await text('#summary'));
    const press = (name) => page.getByRole('button', { name }).click();
    const says = (text) => until(page, (text) => document.querySelector('#faults-said').textContent === text, text);
    await press('Outage');
    await says('On: * close');
    await page.evaluate(async () => { for (let i = 0; i < 30; i++) await fetch('/verify/search/json?request_id=a' + i); });
    await until(page, () => /^Checks and searches are stopped/.test(document.querySelector('#summary').textContent) && /open/.test(document.querySelector('#way').innerText));
    assert.equal((await text('#state')).toLowerCase(), 'degraded');
    await press('Outage');
    await says('All faults are off.');
    await until(page, () => document.querySelector('#state').textContent === 'ok' && !/open/.test(document.querySelector('#way').innerText));
    await until(page, () => /Checks and searches are made again/.test(document.querySelector('#events li').textContent)); // which is told apart
    await press('Wrong credentials');
    await says('On: * status 4');
    await page.evaluate(() => fetch('/verify/json?number=447700900321&brand=Acme'));
    await until(page, () => /refuses the account: credentials \(4\)/.test(document.querySelector('#summary').textContent));
    assert.equal((await text('#state')).toLowerCase(), 'down');
    await until(page, () => /refuses the account/.test(document.querySelector('#events li').textContent));
    await press('Wrong credentials');
    await says('All faults are off.');
    await close();
    // Credentials are tried again after half a minute, which nobody waits for here.
  },
};

async function checkPage() {
  for (const [name, check] of Object.entries(checks)) {
    const begun = Date.now();
    await check().catch((error) => { throw new Error(`${name}: ${error.message}`, { cause: error }); });
    console.log(`${name}: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  }
}

async function reconnect() {
  const { page, text, close } = await open();
  console.log('open');
  await until(page, () => document.documentElement.classList.contains('stale') && /reconnecting/.test(document.querySelector('#asof').textContent));
  console.log('stale'); // the gateway may come back
  await until(page, () => !document.documentElement.classList.contains('stale') && !/reconnecting/.test(document.querySelector('#asof').textContent));
  assert.match(await text('#events'), /configuration/);
  await close();
  console.log('recovered');
}

async function picture() {
  const { page, close } = await open({ colorScheme: 'light' });
  await page.waitForTimeout(1500);
  await page.evaluate(() => { document.querySelector('.where').textContent = 'gateway-1 · caddy-verify'; }); // whose machine it was
  await page.screenshot({ path: file, clip: { x: 0, y: 0, width: 1200, height: await page.evaluate(() => document.querySelector('#events-title').parentElement.getBoundingClientRect().bottom + 16) }, fullPage: true });
  await close();
}

try {
  await { figures: tellFigures, page: checkPage, reconnect, picture }[what]();
} catch (error) {
  console.error(error.stack);
  process.exitCode = 1;
} finally {
  await browser.close();
}
