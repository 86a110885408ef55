// Has the TypeScript compiler compare the dashboards with Grafana's own types: every field must be one that Grafana has,
// and have a value that it may have.
//
//	node types.mjs
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const dashboards = join(here, '../../dashboards');
const folder = mkdtempSync(join(here, 'node_modules', '.types-'));

// The options of each kind of panel, and what is custom in its fields.
const kinds = {
  bargauge: ['BarGauge', false],
  heatmap: ['Heatmap', true],
  stat: ['Stat', false],
  'state-timeline': ['StateTimeline', true],
  table: ['Table', true],
  timeseries: ['TimeSeries', true],
};

const lines = [
  `import type { Dashboard, Panel, RowPanel, FieldConfigSource, DataTransformerConfig, VariableModel } from '@grafana/schema';`,
  // Grafana's enums, as JSON has them: their values.
  'type Plain<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T',
  '  : T extends (infer U)[] ? Plain<U>[] : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;',
  `type Frame = Plain<Omit<Dashboard, 'panels'>>;`,
];
for (const [name, custom] of Object.values(kinds)) {
  const module = `@grafana/schema/dist/esm/raw/composable/${name.toLowerCase()}/panelcfg/x/${name}PanelCfg_types.gen`;
  lines.push(`import type * as ${name} from '${module}';`);
  if (!custom) lines.push(`type ${name}Custom = never;`);
  else lines.push(`type ${name}Custom = Plain<${name === 'Table' ? `import('@grafana/schema').TableFieldOptions` : `${name}.FieldConfig`}>;`);
}

let count = 0;
for (const file of readdirSync(dashboards).filter((name) => name.endsWith('.json')).sort()) {
  const { panels, ...frame } = JSON.parse(readFileSync(join(dashboards, file), 'utf8'));
  const name = file.replace('.json', '');
  for (const annotation of frame.annotations.list) {
    for (const own of ['expr', 'step', 'titleFormat']) delete annotation[own]; // fields of the Prometheus data source
  }
  lines.push(`export const ${name}: Frame = ${JSON.stringify(frame)};`);
  for (const panel of panels) {
    const at = `${name}_${panel.id}`;
    count++;
    if (panel.type === 'row') {
      lines.push(`export const ${at}: Plain<RowPanel> = ${JSON.stringify(panel)};`);
      continue;
    }
    if (!kinds[panel.type]) throw new Error(`${file}: panel ${panel.id} is of an unknown kind, ${panel.type}`);
    const { options, fieldConfig, ...rest } = panel;
    const { custom, ...defaults } = fieldConfig.defaults;
    const kind = kinds[panel.type][0];
    lines.push(`export const ${at}: Plain<Panel> = ${JSON.stringify({ ...rest, fieldConfig: { ...fieldConfig, defaults } })};`);
    lines.push(`export const ${at}_options: Plain<${kind}.Options> = ${JSON.stringify(options)};`);
    if (custom) lines.push(`export const ${at}_custom: ${kind}Custom = ${JSON.stringify(custom)};`);
  }
}

const source = join(folder, 'dashboards.ts');
writeFileSync(source, lines.join('\n') + '\n');
const program = ts.createProgram([source], {
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
  noEmit: true,
  skipLibCheck: true,
  strict: true,
  target: ts.ScriptTarget.ES2022,
  types: [],
});
const complaints = ts.getPreEmitDiagnostics(program);
const text = lines;
for (const c of complaints) {
  const { line } = c.file ? c.file.getLineAndCharacterOfPosition(c.start) : { line: 0 };
  const at = c.file && c.file.fileName === source ? text.slice(0, line + 1).join('\n').split('\n')[line].slice(0, 60) : c.file?.fileName;
  console.error(`${at}: ${ts.flattenDiagnosticMessageText(c.messageText, ' ')}`);
}
rmSync(folder, { recursive: true });
console.log(`${count} panels, ${complaints.length} complaints`);
process.exitCode = complaints.length ? 1 : 0;
