// Draws a dashboard with Grafana's own components. What Grafana itself adds, the registries and the panels of kinds that
// @grafana/ui does not have, is put in below in the plainest way that works.
import {
  applyFieldOverrides, createTheme, dateTime, FieldType, getFieldDisplayValues, Registry, standardTransformers,
  standardTransformersRegistry, ThemeContext, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BigValue, PanelChrome, PortalContainer, Table, TimeSeries } from '@grafana/ui';
import { createRoot } from 'react-dom/client';

const theme = createTheme({ colors: { mode: 'light' } });
const column = 1600 / 24;
const line = 36;
const replaceVariables = (text) => text;

standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((t) => [t.id, t])).values()].map((transformation) => ({
    id: transformation.id, name: transformation.name, transformation: async () => transformation, editor: () => null,
  })),
);

// The properties of fields that overrides may change.
const fields = new Registry(() =>
  ['unit', 'min', 'max', 'decimals', 'displayName', 'color', 'thresholds', 'mappings', 'noValue', 'custom.cellOptions'].map((id) => ({
    id, path: id.replace('custom.', ''), name: id, isCustom: id.startsWith('custom.'),
    process: (value) => value, shouldApply: () => true, override: () => null, editor: () => null,
  })),
);

// legend names a series as Grafana does.
function legend(format, labels) {
  if (!format || format === '__auto') return undefined;
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '');
}

// gapless has null at the steps that a series lacks, so that no line is drawn across them.
function gapless(values) {
  const step = Math.min(...values.slice(1).map((v, i) => v[0] - values[i][0]));
  return values.flatMap((v, i) => {
    const missing = i === 0 ? 0 : Math.round((v[0] - values[i - 1][0]) / step) - 1;
    return [...Array.from({ length: missing }, (_, n) => [values[i - 1][0] + (n + 1) * step, null]), v];
  });
}

// frames are what a query returned, as the Prometheus data source gives it on.
function frames(target, result) {
  const number = (text) => (text === 'NaN' ? null : Number(text));
  if (target.format === 'table') {
    const labels = [...new Set(result.flatMap((r) => Object.keys(r.metric)))].sort();
    return [toDataFrame({
      refId: target.refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: result.map((r) => r.value[0] * 1000) },
        ...labels.map((name) => ({ name, type: FieldType.string, values: result.map((r) => r.metric[name] ?? '') })),
        { name: target.valueName, type: FieldType.number, values: result.map((r) => number(r.value[1])) },
      ],
    })];
  }
  return result.map((r) => {
    const values = r.values ? gapless(r.values) : [r.value];
    const name = legend(target.legendFormat, r.metric);
    return toDataFrame({
      refId: target.refId,
      name,
      fields: [
        { name: 'Time', type: FieldType.time, values: values.map((v) => v[0] * 1000) },
        { name: 'Value', type: FieldType.number, values: values.map((v) => v[1] && number(v[1])), labels: r.metric, config: name ? { displayNameFromDS: name } : {} },
      ],
    });
  });
}

function data(panel, results) {
  const many = panel.targets.length > 1;
  const raw = panel.targets.flatMap((t) =>
    frames({ ...t, valueName: many ? `Value #${t.refId}` : 'Value' }, results[`${panel.id} ${t.refId}`]));
  const finish = (series) => {
    for (const field of series.flatMap((frame) => frame.fields)) {
      field.config = { ...field.config, custom: { ...panel.fieldConfig.defaults.custom } };
    }
    return applyFieldOverrides({
      data: series, fieldConfig: panel.fieldConfig, fieldConfigRegistry: fields, replaceVariables, theme, timeZone: 'utc',
    });
  };
  if (!panel.transformations) return Promise.resolve(finish(raw));
  return new Promise((resolve) => transformDataFrame(panel.transformations, raw).subscribe((series) => resolve(finish(series))));
}

const none = <div style={{ padding: 16, color: theme.colors.text.secondary }}>No data</div>;

const small = { fontSize: 12, fill: theme.colors.text.primary };

// Bars are the figures of a panel one below the other.
function Bars({ shown, width, height }) {
  const each = Math.min(40, height / shown.length);
  const most = Math.max(...shown.map((s) => s.field.max ?? s.display.numeric));
  const title = 150, figure = 70;
  return (
    <svg width={width} height={height}>
      {shown.map(({ display }, i) => (
        <g key={i} transform={`translate(0 ${i * each})`}>
          <text x={title} y={each / 2 + 4} textAnchor="end" {...small}>{display.title}</text>
          <rect x={title + 10} y={3} width={width - title - figure - 10} height={each - 6} fill={theme.colors.background.secondary} />
          <rect x={title + 10} y={3} width={((width - title - figure - 10) * Math.max(0, display.numeric)) / (most || 1)} height={each - 6} fill={display.color} opacity={0.75} />
          <text x={width - figure + 10} y={each / 2 + 4} {...small}>{display.text}{display.suffix}</text>
        </g>
      ))}
    </svg>
  );
}

// Times is an axis.
function Times({ range, left, width, y }) {
  const at = (t) => left + ((t - range.from.valueOf()) / (range.to.valueOf() - range.from.valueOf())) * (width - left);
  const marks = [];
  for (let t = Math.ceil(range.from.valueOf() / 600000) * 600000; t < range.to.valueOf(); t += 600000) marks.push(t);
  return marks.map((t) => <text key={t} x={at(t)} y={y} textAnchor="middle" {...small}>{new Date(t).toISOString().slice(11, 16)}</text>);
}

// States are bars in the colour of what something was.
function States({ frames, range, width, height }) {
  const left = 70, bottom = 24, each = (height - bottom) / frames.length;
  const at = (t) => left + ((t - range.from.valueOf()) / (range.to.valueOf() - range.from.valueOf())) * (width - left);
  return (
    <svg width={width} height={height}>
      {frames.map((frame, row) => {
        const [times, values] = [frame.fields[0].values, frame.fields[1].values];
        const pieces = [];
        for (let i = 0; i < values.length; i++) {
          const last = pieces[pieces.length - 1];
          if (last?.value === values[i]) last.to = times[i];
          else {
            if (last) last.to = times[i];
            pieces.push({ value: values[i], from: times[i], to: times[i] });
          }
        }
        return (
          <g key={row} transform={`translate(0 ${row * each})`}>
            <text x={left - 8} y={each / 2 + 4} textAnchor="end" {...small}>{frame.fields[1].config.displayNameFromDS}</text>
            {pieces.map((piece, i) => {
              const shown = frame.fields[1].display(piece.value), wide = at(piece.to) - at(piece.from);
              return (
                <g key={i}>
                  <rect x={at(piece.from)} y={4} width={Math.max(1, wide)} height={each - 8} fill={shown.color} opacity={0.7} />
                  {wide > 60 && <text x={at(piece.from) + 6} y={each / 2 + 4} fontSize={12} fill="#fff">{shown.text}</text>}
                </g>
              );
            })}
          </g>
        );
      })}
      <Times range={range} left={left} width={width} y={height - 6} />
    </svg>
  );
}

// Heatmap is a histogram over time: the darker, the more calls took so long.
function Heatmap({ frames, range, width, height }) {
  const left = 60, bottom = 24;
  const bounds = frames.map((f) => ({ le: Number(f.fields[1].labels.le.replace('+Inf', 'Infinity')), f })).sort((a, b) => a.le - b.le);
  const times = [...new Set(frames.flatMap((f) => [...f.fields[0].values]))].sort((a, b) => a - b);
  const value = bounds.map(({ f }) => new Map([...f.fields[0].values].map((t, i) => [t, f.fields[1].values[i] ?? 0])));
  const cells = times.map((t) => bounds.map((_, i) => Math.max(0, (value[i].get(t) ?? 0) - (i ? value[i - 1].get(t) ?? 0 : 0))));
  const used = bounds.map((_, i) => cells.some((c) => c[i] > 0.01));
  const top = Math.min(bounds.length - 1, used.lastIndexOf(true) + 1), rows = top + 1;
  const most = Math.max(...cells.flat()), each = (height - bottom - 12) / rows;
  const at = (t) => left + ((t - range.from.valueOf()) / (range.to.valueOf() - range.from.valueOf())) * (width - left);
  const wide = times.length > 1 ? at(times[1]) - at(times[0]) : 4;
  const label = (s) => (s === Infinity ? '∞' : s < 1 ? `${Math.round(s * 1000)} ms` : `${s} s`);
  return (
    <svg width={width} height={height}>
      {cells.flatMap((c, x) => c.slice(0, rows).map((n, y) => n > 0.01 && (
        <rect key={`${x} ${y}`} x={at(times[x]) - wide / 2} y={12 + (rows - 1 - y) * each} width={wide + 0.5} height={each - 1} fill="#d9480f" opacity={0.12 + 0.88 * Math.sqrt(n / most)} />
      )))}
      {bounds.slice(0, rows).map(({ le }, y) => <text key={y} x={left - 8} y={16 + (rows - 1 - y) * each} textAnchor="end" {...small}>{label(le)}</text>)}
      <Times range={range} left={left} width={width} y={height - 6} />
    </svg>
  );
}

function Body({ panel, series, range, width, height }) {
  const { options, fieldConfig } = panel;
  if (panel.type === 'table') {
    if (!series[0]?.length) return <div style={{ padding: 16 }}>{fieldConfig.defaults.noValue ?? 'No data'}</div>;
    const { fields: shown, ...rest } = series[0];
    for (const field of shown) field.config.custom.width = Math.floor((width - 40) / shown.length);
    // What is last would lie under the place of the scroll bar.
    const empty = { ...shown[0], name: ' ', values: shown[0].values.map(() => ''), config: { custom: { width: 32 }, displayName: ' ' }, state: { displayName: ' ' } };
    return <Table data={{ ...rest, fields: [...shown, empty] }} width={width} height={height} />;
  }
  if (panel.type === 'stat' || panel.type === 'bargauge') {
    const shown = getFieldDisplayValues({ data: series, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, timeZone: 'utc', sparkline: options.graphMode === 'area' });
    if (!shown.length) return none;
    if (panel.type === 'bargauge') return <Bars shown={shown} width={width} height={height} />;
    const named = options.textMode === 'value_and_name';
    return (
      <div style={{ display: 'flex' }}>
        {shown.map((s, i) => (
          <BigValue key={i} width={width / shown.length} height={height} theme={theme} colorMode={options.colorMode}
            graphMode={options.graphMode} textMode={named ? 'value_and_name' : 'value'} justifyMode="center" sparkline={s.sparkline}
            value={named ? s.display : { ...s.display, title: undefined }}
            text={/[a-z]{4}/.test(s.display.text) ? { valueSize: (1.5 * width) / shown.length / s.display.text.length } : undefined} />
        ))}
      </div>
    );
  }
  const drawn = series.filter((f) => f.length);
  if (!drawn.length) return none;
  if (panel.type === 'heatmap') return <Heatmap frames={drawn} range={range} width={width} height={height} unit={fieldConfig.defaults.unit} />;
  if (panel.type === 'state-timeline') return <States frames={drawn} range={range} width={width} height={height} />;
  return (
    <TimeSeries frames={drawn} width={width} height={height} timeRange={range} timeZone="utc"
      legend={{ ...(options.legend?.displayMode ? options.legend : { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }) }} />
  );
}

async function draw() {
  const { dashboard, results, from, to } = window.dashboardToDraw;
  const range = { from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } };
  const panels = [];
  for (const panel of dashboard.panels) {
    panels.push({ panel, series: panel.type === 'row' ? [] : await data(panel, results) });
  }
  const bottom = Math.max(...dashboard.panels.map((p) => p.gridPos.y + p.gridPos.h));
  document.body.style.cssText = `margin:0;background:${theme.colors.background.canvas};font-family:${theme.typography.fontFamily};color:${theme.colors.text.primary}`;
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <div id="drawn" style={{ width: 1600 + 16, height: bottom * line + 56, position: 'relative' }}>
        <h2 style={{ margin: 0, padding: '14px 12px', fontSize: 20, fontWeight: 500 }}>{dashboard.title}</h2>
        {panels.map(({ panel, series }) => {
          const { x, y, w, h } = panel.gridPos;
          const at = { position: 'absolute', left: x * column + 12, top: y * line + 56 };
          if (panel.type === 'row') return <div key={panel.id} style={{ ...at, top: at.top + 8, fontWeight: 500 }}>{panel.title}</div>;
          return (
            <div key={panel.id} style={at}>
              <PanelChrome title={panel.title} description={panel.description} width={w * column - 8} height={h * line - 8}>
                {(width, height) => <Body panel={panel} series={series} range={range} width={width} height={height} />}
              </PanelChrome>
            </div>
          );
        })}
      </div>
      <PortalContainer />
    </ThemeContext.Provider>,
  );
}

draw().catch((error) => { document.title = `failed: ${error.stack}`; });
