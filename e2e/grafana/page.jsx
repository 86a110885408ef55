// Draws a dashboard with Grafana's own components. What Grafana itself adds, the registries and the panels of kinds that
// @grafana/ui does not have, is put in below in the plainest way that works.
import {
  applyFieldOverrides, createTheme, dateTime, FieldType, getFieldDisplayValues, Registry, standardTransformers,
  standardTransformersRegistry, ThemeContext, toDataFrame, transformDataFrame,
} from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, PortalContainer, Table, TimeSeries } from '@grafana/ui';
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
    const values = r.values ?? [r.value];
    const name = legend(target.legendFormat, r.metric);
    return toDataFrame({
      refId: target.refId,
      name,
      fields: [
        { name: 'Time', type: FieldType.time, values: values.map((v) => v[0] * 1000) },
        { name: 'Value', type: FieldType.number, values: values.map((v) => number(v[1])), labels: r.metric, config: name ? { displayNameFromDS: name } : {} },
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

function Body({ panel, series, range, width, height }) {
  const { options, fieldConfig } = panel;
  if (panel.type === 'table') {
    return series[0]?.length ? <Table data={series[0]} width={width - 8} height={height} /> : none;
  }
  if (panel.type === 'stat' || panel.type === 'bargauge') {
    const shown = getFieldDisplayValues({ data: series, fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, timeZone: 'utc', sparkline: options.graphMode === 'area' });
    if (!shown.length) return none;
    if (panel.type === 'bargauge') {
      const each = Math.min(48, height / shown.length);
      return shown.map((s, i) => (
        <BarGauge key={i} width={width} height={each - 4} orientation={options.orientation} displayMode={options.displayMode}
          value={s.display} field={s.field} theme={theme} showUnfilled itemSpacing={4} lcdCellWidth={8}
          text={{ titleSize: 12, valueSize: 14 }} alignmentFactors={{ title: 'too many wrong codes', text: '1000000' }} />
      ));
    }
    const named = options.textMode === 'value_and_name';
    return (
      <div style={{ display: 'flex' }}>
        {shown.map((s, i) => (
          <BigValue key={i} width={width / shown.length} height={height} theme={theme} colorMode={options.colorMode}
            graphMode={options.graphMode} textMode={named ? 'value_and_name' : 'value'} justifyMode="center" sparkline={s.sparkline}
            value={named ? s.display : { ...s.display, title: undefined }} />
        ))}
      </div>
    );
  }
  const drawn = series.filter((f) => f.length);
  if (!drawn.length) return none;
  if (panel.type === 'heatmap') {
    return <div style={{ padding: 16, color: theme.colors.text.secondary }}>A heat map; there is no component to draw it outside Grafana.</div>;
  }
  if (panel.type !== 'timeseries') { // nor one for states: steps
    for (const f of drawn) {
      for (const field of f.fields) {
        field.config = { ...field.config, custom: { drawStyle: 'line', lineInterpolation: 'stepAfter', lineWidth: 2, fillOpacity: 10, showPoints: 'never' } };
      }
    }
  }
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
