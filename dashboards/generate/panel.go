package main

import (
	"fmt"
	"strings"
)

// source is the variable that every query takes its data source from.
var source = DataSource{Type: "prometheus", UID: "${datasource}"}

// legends of single series.
const byHand = "__auto"

// query is what a panel asks, with the name of its series.
func query(expr, legend string) Target {
	return Target{Datasource: source, EditorMode: "code", Expr: expr, LegendFormat: legend, Format: "time_series", Range: true}
}

// latest asks for one value in place of a course.
func latest(expr, legend string) Target {
	t := query(expr, legend)
	t.Instant, t.Range = true, false
	return t
}

// column asks for one column of a table.
func column(expr string) Target {
	t := latest(expr, "")
	t.Format = "table"
	return t
}

// exemplars asks for single calls with their traces, too.
func (t Target) exemplars() Target {
	t.Exemplar = true
	return t
}

// buckets asks for a histogram's buckets.
func (t Target) buckets() Target {
	t.Format = "heatmap"
	return t
}

// look is how a panel's values are shown.
type look struct {
	unit     string
	decimals int // -1 for Grafana's choice
	min, max *float64
	steps    []Step
	mappings []Mapping
	empty    string // what stands for no value
	over     []Override
}

func in(unit string) look { return look{unit: unit, decimals: -1, steps: plain()} }

func (l look) digits(n int) look              { l.decimals = n; return l }
func (l look) from(min float64) look          { l.min = &min; return l }
func (l look) to(max float64) look            { l.max = &max; return l }
func (l look) colours(steps ...Step) look     { l.steps = steps; return l }
func (l look) words(m ...Mapping) look        { l.mappings = m; return l }
func (l look) without(text string) look       { l.empty = text; return l }
func (l look) and(overrides ...Override) look { l.over = append(l.over, overrides...); return l }

// plain has no colour that means something.
func plain() []Step { return []Step{{Color: "blue"}} }

// Colours of thresholds.
const (
	good = "green"
	fair = "yellow"
	bad  = "red"
)

// below is good up to a value and bad from another on.
func below(warn, alarm float64) []Step {
	return []Step{{Color: good}, {Color: fair, Value: &warn}, {Color: bad, Value: &alarm}}
}

// above is bad up to a value and good from another on.
func above(alarm, warn float64) []Step {
	return []Step{{Color: bad}, {Color: fair, Value: &alarm}, {Color: good, Value: &warn}}
}

// zero is good, all else is bad.
func zero() []Step {
	something := 1e-9
	return []Step{{Color: good}, {Color: bad, Value: &something}}
}

func (l look) config(mode string, custom any) *FieldConfig {
	c := &FieldConfig{
		Defaults: Defaults{
			Unit: l.unit, Min: l.min, Max: l.max, NoValue: l.empty,
			Color:      Color{Mode: mode},
			Thresholds: Thresholds{Mode: "absolute", Steps: l.steps},
			Mappings:   l.mappings,
			Custom:     custom,
		},
		Overrides: l.over,
	}
	if l.decimals >= 0 {
		c.Defaults.Decimals = &l.decimals
	}
	if c.Defaults.Mappings == nil {
		c.Defaults.Mappings = []Mapping{}
	}
	if c.Overrides == nil {
		c.Overrides = []Override{}
	}
	return c
}

// values maps numbers to words.
func values(words map[string]Mapped) Mapping { return Mapping{Type: "value", Options: words} }

// of changes the field with a name, or the series with a legend.
func of(name string, properties ...Property) Override {
	return Override{Matcher{ID: "byName", Options: name}, properties}
}

func unit(u string) Property       { return Property{"unit", u} }
func decimals(n int) Property      { return Property{"decimals", n} }
func colour(c string) Property     { return Property{"color", Color{Mode: "fixed", FixedColor: c}} }
func display(name string) Property { return Property{"displayName", name} }
func coloured() Property           { return Property{"custom.cellOptions", CellOptions{Type: "color-text"}} }

// thresholds of an override begin with a number: Grafana reads the usual null there as 0, above which -1 % is not.
func thresholds(s []Step) Property {
	lowest := -1e9
	s[0].Value = &lowest
	return Property{"thresholds", Thresholds{"absolute", s}}
}

// money gives series that are named after a currency its unit.
func money() []Override {
	var all []Override
	for _, currency := range []string{"EUR", "USD", "GBP", "JPY", "CHF", "INR", "SEK", "NOK", "DKK", "PLN", "BRL", "CZK", "ZAR", "KRW", "RUB", "UAH", "TRY"} {
		all = append(all, of(currency, unit("currency"+currency)))
	}
	return all
}

// A panel's constructor takes its title, what it tells and what to do about it, how it looks, and its queries.

func panel(kind, title, description string, config *FieldConfig, options any, targets []Target) *Panel {
	for i := range targets {
		targets[i].RefID = string(rune('A' + i))
	}
	return &Panel{Type: kind, Title: title, Description: description, Datasource: &source, Targets: targets, FieldConfig: config, Options: options}
}

// stat is one figure, or one for each series.
func stat(title, description string, l look, targets ...Target) *Panel {
	graph, text := "none", "auto"
	if targets[0].Range {
		graph = "area"
	}
	if targets[0].LegendFormat != byHand {
		text = "value_and_name"
	}
	return panel("stat", title, description, l.config("thresholds", nil), StatOptions{
		ColorMode: "value", GraphMode: graph, JustifyMode: "auto", Orientation: "auto", TextMode: text, WideLayout: true, ChangeColors: "standard",
		ReduceOptions: Reduce{Calcs: []string{"lastNotNull"}},
	}, targets)
}

// bars are figures side by side.
func bars(title, description string, l look, targets ...Target) *Panel {
	return panel("bargauge", title, description, l.config("thresholds", nil), BarGaugeOptions{
		DisplayMode: "basic", Orientation: "horizontal", ShowUnfilled: true, ValueMode: "color", NamePlacement: "auto",
		MinVizHeight: 16, MinVizWidth: 8, MaxVizHeight: 300, Sizing: "auto",
		Legend:        Legend{DisplayMode: "list", Placement: "bottom", Calcs: []string{}},
		ReduceOptions: Reduce{Calcs: []string{"lastNotNull"}},
	}, targets)
}

// leastAxis is how far the axis of a course reaches at least.
var leastAxis = map[string]float64{"reqps": 1, "short": 1, "locale": 10}

func graph(title, description string, l look, custom GraphCustom, targets []Target) *Panel {
	custom.LineInterpolation, custom.ShowPoints = "linear", "auto"
	custom.ThresholdsStyle.Mode = "off"
	if len(l.steps) > 1 {
		custom.ThresholdsStyle.Mode = "dashed"
	}
	if l.min == nil {
		l = l.from(0)
	}
	if least, has := leastAxis[l.unit]; has && l.max == nil && l.decimals < 2 { // nothing, all the time, is a line at the bottom of it
		custom.AxisSoftMax = &least
	}
	return panel("timeseries", title, description, l.config("palette-classic", custom), TimeSeriesOptions{
		Legend:  Legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
		Tooltip: Tooltip{Mode: "multi", Sort: "desc"},
	}, targets)
}

// lines are courses over time.
func lines(title, description string, l look, targets ...Target) *Panel {
	fill := 5
	if strings.Contains(targets[0].LegendFormat, "{{") { // of many, each shade would be on all others
		fill = 0
	}
	return graph(title, description, l, GraphCustom{DrawStyle: "line", LineWidth: 1, FillOpacity: fill, Stacking: Stacking{"none", "A"}}, targets)
}

// stack is what makes up a sum over time.
func stack(title, description string, l look, targets ...Target) *Panel {
	return graph(title, description, l, GraphCustom{DrawStyle: "line", LineWidth: 1, FillOpacity: 40, Stacking: Stacking{"normal", "A"}}, targets)
}

// states are what something was at each time.
func states(title, description string, l look, targets ...Target) *Panel {
	return panel("state-timeline", title, description, l.config("thresholds", StateCustom{FillOpacity: 70}), StateOptions{
		ShowValue: "auto", RowHeight: 0.8, MergeValues: true,
		Legend:  Legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
		Tooltip: Tooltip{Mode: "single", Sort: "none"},
	}, targets)
}

// heatmap is a histogram over time.
func heatmap(title, description string, l look, target Target) *Panel {
	return panel("heatmap", title, description, l.config("thresholds", HeatmapCustom{ScaleDistribution{"linear"}}), HeatmapOptions{
		CellGap:      1,
		Color:        HeatmapColor{Mode: "scheme", Scheme: "Oranges", Fill: "dark-orange", Scale: "exponential", Exponent: 0.5, Steps: 64},
		Exemplars:    HeatmapExemplars{"rgba(255,0,255,0.7)"},
		FilterValues: FilterValues{1e-9},
		Legend:       HeatmapLegend{true},
		RowsFrame:    RowsFrame{"auto"},
		ShowValue:    "never",
		Tooltip:      HeatmapTooltip{Mode: "single", ShowColor: true},
		YAxis:        HeatmapAxis{AxisPlacement: "left", Unit: l.unit},
	}, []Target{target.buckets()})
}

// cell is a column of a table.
type cell struct {
	name       string
	expr       string
	properties []Property
}

// table joins what queries say of the same labels. It is ordered by a column.
func table(title, description string, l look, labels []string, order string, cells ...cell) *Panel {
	organize := Organize{ExcludeByName: map[string]bool{"Time": true}, IndexByName: map[string]int{}, RenameByName: map[string]string{}}
	for i, label := range labels {
		organize.IndexByName[label] = i
		if organize.RenameByName[label] = strings.ToUpper(label[:1]) + label[1:]; strings.HasPrefix(label, "alert") {
			organize.RenameByName[label] = map[string]string{"alertname": "Alert", "alertstate": "State"}[label]
		}
	}
	var targets []Target
	for i, c := range cells {
		field := "Value"
		if len(cells) > 1 {
			field = "Value #" + string(rune('A'+i))
		}
		organize.IndexByName[field] = len(labels) + i
		organize.RenameByName[field] = c.name
		targets = append(targets, column(c.expr))
		if len(c.properties) > 0 {
			l.over = append(l.over, of(c.name, c.properties...))
		}
	}
	p := panel("table", title, description, l.config("thresholds", TableCustom{Align: "auto", CellOptions: CellOptions{Type: "auto"}}), TableOptions{0, true, "sm"}, targets)
	p.Transformations = []Transformation{{"merge", struct{}{}}, {"organize", organize}, {"sortBy", SortBy{[]SortField{{order, true}}}}}
	return p
}

// row is a heading, and the panels under it from left to right.
type row struct {
	title  string
	height int
	panels []*Panel
}

// lay gives panels their places and numbers. The panels of a row share its width.
func lay(rows ...row) []*Panel {
	open, none := false, []Panel{}
	var all []*Panel
	y := 0
	for _, r := range rows {
		all = append(all, &Panel{Type: "row", Title: r.title, GridPos: GridPos{1, 24, 0, y}, Collapsed: &open, Panels: &none})
		y++
		if 24%len(r.panels) != 0 {
			panic(fmt.Sprintf("row %q: 24 columns cannot be shared by %d panels", r.title, len(r.panels)))
		}
		width := 24 / len(r.panels)
		for i, p := range r.panels {
			p.GridPos = GridPos{r.height, width, i * width, y}
			all = append(all, p)
		}
		y += r.height
	}
	for i, p := range all {
		p.ID = i + 1
	}
	return all
}
