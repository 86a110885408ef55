package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	heat "github.com/grafana/grafana-foundation-sdk/go/heatmap"
	figure "github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The kinds of panels. A panel's constructor takes its title, what it tells and what to do about it, how it looks, and
// its queries.

func panel(kind, title, description string, config *grafana.FieldConfigSource, options any, targets []Target) *Panel {
	p := &Panel{Type: kind, Title: &title, Description: &description, Datasource: &source, FieldConfig: config, Options: options}
	for i, t := range targets {
		t.RefId = new(string(rune('A' + i)))
		p.Targets = append(p.Targets, t)
	}
	return p
}

// last is the last value, for a panel that shows one figure.
func last() common.ReduceDataOptions {
	return common.ReduceDataOptions{Calcs: []string{"lastNotNull"}, Fields: new(""), Values: new(false)}
}

func legend(shown bool) common.VizLegendOptions {
	return common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom, ShowLegend: shown, Calcs: []string{},
	}
}

// stat is one figure, or one for each series.
func stat(title, description string, l look, targets ...Target) *Panel {
	graph, text := common.BigValueGraphModeNone, common.BigValueTextModeAuto
	if *targets[0].Range {
		graph = common.BigValueGraphModeArea
	}
	if *targets[0].LegendFormat != byHand {
		text = common.BigValueTextModeValueAndName
	}
	return panel("stat", title, description, l.config(grafana.FieldColorModeIdThresholds, nil), figure.Options{
		ColorMode: common.BigValueColorModeValue, GraphMode: graph, JustifyMode: common.BigValueJustifyModeAuto,
		Orientation: common.VizOrientationAuto, TextMode: text, WideLayout: true,
		PercentChangeColorMode: common.PercentChangeColorModeStandard, ReduceOptions: last(),
	}, targets)
}

// bars are figures side by side.
func bars(title, description string, l look, targets ...Target) *Panel {
	return panel("bargauge", title, description, l.config(grafana.FieldColorModeIdThresholds, nil), bargauge.Options{
		DisplayMode: common.BarGaugeDisplayModeBasic, Orientation: common.VizOrientationHorizontal, ShowUnfilled: true,
		ValueMode: common.BarGaugeValueModeColor, NamePlacement: common.BarGaugeNamePlacementAuto, Sizing: common.BarGaugeSizingAuto,
		MinVizHeight: 16, MinVizWidth: 8, MaxVizHeight: 300,
		Legend: legend(false), ReduceOptions: last(),
	}, targets)
}

// leastAxis is how far the axis of a course reaches at least.
var leastAxis = map[string]float64{"reqps": 1, "short": 1, "locale": 10}

func graph(title, description string, l look, fill float64, stacking common.StackingMode, targets []Target) *Panel {
	thresholds := common.GraphThresholdsStyleModeOff
	if len(l.steps) > 1 {
		thresholds = common.GraphThresholdsStyleModeDashed
	}
	custom := common.GraphFieldConfig{
		DrawStyle:         new(common.GraphDrawStyleLine),
		LineInterpolation: new(common.LineInterpolationLinear),
		LineWidth:         new(1.0),
		FillOpacity:       &fill,
		ShowPoints:        new(common.VisibilityModeAuto),
		SpanNulls:         &common.BoolOrFloat64{Bool: new(false)},
		Stacking:          &common.StackingConfig{Mode: &stacking, Group: new("A")},
		ThresholdsStyle:   &common.GraphThresholdsStyleConfig{Mode: thresholds},
	}
	if l.min == nil {
		l = l.from(0)
	}
	if least, has := leastAxis[l.unit]; has && l.max == nil && l.decimals < 2 { // nothing, all the time, is a line at the bottom of it
		custom.AxisSoftMax = &least
	}
	return panel("timeseries", title, description, l.config(grafana.FieldColorModeIdPaletteClassic, custom), timeseries.Options{
		Legend:  legend(true),
		Tooltip: common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending},
	}, targets)
}

// lines are courses over time.
func lines(title, description string, l look, targets ...Target) *Panel {
	fill := 5.0
	if strings.Contains(*targets[0].LegendFormat, "{{") { // of many, each shade would be on all others
		fill = 0
	}
	return graph(title, description, l, fill, common.StackingModeNone, targets)
}

// stack is what makes up a sum over time.
func stack(title, description string, l look, targets ...Target) *Panel {
	return graph(title, description, l, 40, common.StackingModeNormal, targets)
}

// states are what something was at each time.
func states(title, description string, l look, targets ...Target) *Panel {
	custom := statetimeline.FieldConfig{LineWidth: new(uint32(0)), FillOpacity: new(uint32(70))}
	return panel("state-timeline", title, description, l.config(grafana.FieldColorModeIdThresholds, custom), statetimeline.Options{
		ShowValue: common.VisibilityModeAuto, RowHeight: 0.8, MergeValues: new(true),
		Legend:  legend(true),
		Tooltip: common.VizTooltipOptions{Mode: common.TooltipDisplayModeSingle, Sort: common.SortOrderNone},
	}, targets)
}

// heatmap is a histogram over time.
func heatmap(title, description string, l look, target Target) *Panel {
	custom := heat.FieldConfig{ScaleDistribution: &common.ScaleDistributionConfig{Type: common.ScaleDistributionLinear}}
	return panel("heatmap", title, description, l.config(grafana.FieldColorModeIdThresholds, custom), heat.Options{
		Calculate: new(false),
		CellGap:   new(uint8(1)),
		Color: heat.HeatmapColorOptions{
			Mode: new(heat.HeatmapColorModeScheme), Scheme: "Oranges", Fill: "dark-orange",
			Scale: new(heat.HeatmapColorScaleExponential), Exponent: 0.5, Steps: 64,
		},
		Exemplars:    heat.ExemplarConfig{Color: "rgba(255,0,255,0.7)"},
		FilterValues: &heat.FilterValueRange{Le: new(float32(1e-9))},
		Legend:       heat.HeatmapLegend{Show: true},
		RowsFrame:    &heat.RowsHeatmapOptions{Layout: new(common.HeatmapCellLayoutAuto)},
		ShowValue:    common.VisibilityModeNever,
		Tooltip:      heat.HeatmapTooltip{Mode: common.TooltipDisplayModeSingle, YHistogram: new(false), ShowColorScale: new(true)},
		YAxis:        heat.YAxisConfig{AxisPlacement: new(common.AxisPlacementLeft), Reverse: new(false), Unit: &l.unit},
	}, []Target{buckets(target)})
}
