// Draws the dashboards with Grafana's own components in a headless Chromium.
//
//	node pictures.mjs <folder with dashboards whose queries are filled in> <url of Prometheus> <from> <to> <folder for the pictures>
//
// from and to are seconds since 1970. The end-to-end test of the dashboards calls it.
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { chromium } from 'playwright-core';

const [folder, prometheus, from, to, output] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));
const work = mkdtempSync(join(here, 'node_modules', '.page-'));
mkdirSync(output, { recursive: true });

async function ask(target) {
  const range = { query: target.expr, start: from, end: to, step: Math.max(0.5, (to - from) / 400) };
  const [path, query] = target.instant ? ['query', { query: target.expr, time: to }] : ['query_range', range];
  const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(query)}`);
  const said = await response.json();
  if (said.status !== 'success') throw new Error(`${target.expr}: ${said.error}`);
  return said.data.result;
}

// Grafana's packages as CommonJS: their other form has imports that only Grafana's own bundler understands.
const common = {
  name: 'common',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^@grafana\// }, ({ path, resolveDir, pluginData }) =>
      pluginData === 'again' ? null : resolve(path, { resolveDir, kind: 'require-call', pluginData: 'again' }));
  },
};

let browser;
try {
  await build({
    entryPoints: [join(here, 'page.jsx')], bundle: true, outfile: join(work, 'page.js'), jsx: 'automatic', logLevel: 'error', plugins: [common],
    define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
    loader: { '.svg': 'dataurl', '.woff2': 'dataurl', '.woff': 'dataurl', '.png': 'dataurl', '.ttf': 'dataurl' },
  });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium-headless-shell', args: ['--no-sandbox', '--disable-gpu'] });
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json')).sort()) {
    const dashboard = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    const results = {};
    for (const panel of dashboard.panels) {
      for (const target of panel.targets ?? []) results[`${panel.id} ${target.refId}`] = await ask(target);
    }
    const styles = readdirSync(work).filter((name) => name.endsWith('.css')).map((name) => `<link rel="stylesheet" href="${name}">`);
    const given = JSON.stringify({ dashboard, results, from: from * 1000, to: to * 1000 }).replaceAll('<', '\\u003c');
    const page = join(work, `${file}.html`);
    writeFileSync(page, `<!doctype html><meta charset="utf-8">${styles.join('')}<div id="root"></div><script>window.dashboardToDraw = ${given}</script><script src="page.js"></script>`);
    const tab = await browser.newPage({ viewport: { width: 1616, height: 1000 } });
    const wrong = [];
    tab.on('pageerror', (error) => wrong.push(String(error)));
    await tab.goto(pathToFileURL(page).href);
    await tab.waitForSelector('#drawn', { timeout: 20_000 }).catch(async () => { throw new Error(`${file}: ${await tab.title()} ${wrong.join('; ')}`); });
    await tab.waitForTimeout(1500);
    if (wrong.length) throw new Error(`${file}: ${wrong.join('; ')}`);
    await tab.locator('#drawn').screenshot({ path: join(output, file.replace('.json', '.png')) });
    await tab.close();
    console.log(file);
  }
} finally {
  await browser?.close();
  rmSync(work, { recursive: true });
}
