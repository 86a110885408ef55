// Wants every unit of the dashboards to be one that Grafana knows; an unknown one would be shown as plain text.
//
//	node units.mjs
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

// @grafana/data looks at the browser's language when it is loaded.
if (!globalThis.navigator?.languages) {
  Object.defineProperty(globalThis, 'navigator', { value: { language: 'en-GB', languages: ['en-GB'] }, configurable: true });
}
const { getValueFormats } = createRequire(import.meta.url)('@grafana/data');

const known = new Set(getValueFormats().flatMap((category) => category.submenu.map((unit) => unit.value)));
const dashboards = join(dirname(fileURLToPath(import.meta.url)), '../../dashboards');
const used = new Map();
for (const file of readdirSync(dashboards).filter((name) => name.endsWith('.json'))) {
  for (const panel of JSON.parse(readFileSync(join(dashboards, file), 'utf8')).panels) {
    const { defaults, overrides } = panel.fieldConfig ?? { defaults: {}, overrides: [] };
    const units = [defaults.unit, ...overrides.flatMap((o) => o.properties.filter((p) => p.id === 'unit').map((p) => p.value))];
    for (const unit of units.filter(Boolean)) used.set(unit, `${file}, panel "${panel.title}"`);
  }
}
const unknown = [...used].filter(([unit]) => !known.has(unit));
for (const [unit, where] of unknown) console.error(`unknown unit ${unit} in ${where}`);
console.log(`${used.size} units, ${unknown.length} unknown, of ${known.size} that Grafana has`);
process.exitCode = unknown.length ? 1 : 0;
