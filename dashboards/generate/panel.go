package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// source is the variable that every query takes its data source from.
var source = common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}

// legends of single series.
const byHand = "__auto"

// query is what a panel asks, with the name of its series.
func query(expr, legend string) Target {
	t := Target{
		Datasource: &source, EditorMode: new(prometheus.QueryEditorModeCode), Expr: expr,
		Format: new(prometheus.PromQueryFormatTimeSeries), Range: new(true), Instant: new(false), Exemplar: new(false),
	}
	if legend != "" {
		t.LegendFormat = &legend
	}
	return t
}

// latest asks for one value in place of a course.
func latest(expr, legend string) Target {
	t := query(expr, legend)
	t.Instant, t.Range = new(true), new(false)
	return t
}

// column asks for one column of a table.
func column(expr string) Target {
	t := latest(expr, "")
	t.Format = new(prometheus.PromQueryFormatTable)
	return t
}

// exemplars asks for single calls with their traces, too.
func exemplars(t Target) Target {
	t.Exemplar = new(true)
	return t
}

// buckets asks for a histogram's buckets.
func buckets(t Target) Target {
	t.Format = new(prometheus.PromQueryFormatHeatmap)
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

func (l look) config(mode grafana.FieldColorModeId, custom any) *grafana.FieldConfigSource {
	c := &grafana.FieldConfigSource{
		Defaults: grafana.FieldConfig{
			Unit: &l.unit, Min: l.min, Max: l.max,
			Color:      &grafana.FieldColor{Mode: mode},
			Thresholds: &grafana.ThresholdsConfig{Mode: grafana.ThresholdsModeAbsolute, Steps: l.steps},
			Mappings:   l.mappings,
			Custom:     custom,
		},
		Overrides: l.over,
	}
	if l.empty != "" {
		c.Defaults.NoValue = &l.empty
	}
	if l.decimals >= 0 {
		c.Defaults.Decimals = new(float64(l.decimals))
	}
	if c.Overrides == nil {
		c.Overrides = []Override{}
	}
	return c
}

// values maps numbers to words.
func values(words map[string]mapped) Mapping {
	options := map[string]grafana.ValueMappingResult{}
	for value, m := range words {
		options[value] = grafana.ValueMappingResult{Text: &m.text, Color: &m.colour, Index: &m.index}
	}
	return Mapping{ValueMap: &grafana.ValueMap{Type: grafana.MappingTypeValueToText, Options: options}}
}

// mapped is the word for a value, and its place among them.
type mapped struct {
	text   string
	colour string
	index  int32
}

// of changes the field with a name, or the series with a legend.
func of(name string, properties ...Property) Override {
	return Override{Matcher: grafana.MatcherConfig{Id: "byName", Options: name}, Properties: properties}
}

func unit(u string) Property       { return Property{Id: "unit", Value: u} }
func decimals(n int) Property      { return Property{Id: "decimals", Value: n} }
func display(name string) Property { return Property{Id: "displayName", Value: name} }

func colour(c string) Property {
	return Property{Id: "color", Value: grafana.FieldColor{Mode: grafana.FieldColorModeIdFixed, FixedColor: &c}}
}

func coloured() Property {
	return Property{Id: "custom.cellOptions", Value: common.NewTableColorTextCellOptions()}
}

// thresholds of an override begin with a number: Grafana reads the usual null there as 0, above which -1 % is not.
func thresholds(s []Step) Property {
	lowest := -1e9
	s[0].Value = &lowest
	return Property{Id: "thresholds", Value: grafana.ThresholdsConfig{Mode: grafana.ThresholdsModeAbsolute, Steps: s}}
}

// money gives series that are named after a currency its unit.
func money() []Override {
	var all []Override
	for _, currency := range []string{"EUR", "USD", "GBP", "JPY", "CHF", "INR", "SEK", "NOK", "DKK", "PLN", "BRL", "CZK", "ZAR", "KRW", "RUB", "UAH", "TRY"} {
		all = append(all, of(currency, unit("currency"+currency)))
	}
	return all
}
