package main

import (
	"slices"
	"strings"

	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// tag is what the dashboards find each other by.
const tag = "caddy-verify"

// file is the dashboard's name in the repository: its UID without the tag.
func file(d *Dashboard) string { return strings.TrimPrefix(*d.Uid, tag+"-") + ".json" }

// frame makes one with what all of them have.
func frame(name, title, description, from string, variables []Variable, panels []grafana.PanelOrRowPanel) *Dashboard {
	return &Dashboard{
		Uid:           new(tag + "-" + name),
		Title:         new("Verify / " + title),
		Description:   &description,
		Tags:          []string{tag},
		SchemaVersion: 41,
		Editable:      new(false),
		GraphTooltip:  new(grafana.DashboardCursorSyncCrosshair),
		Refresh:       new("1m"),
		Timezone:      new("browser"),
		Time:          &grafana.DashboardDashboardTime{From: "now-" + from, To: "now"},
		Links: []grafana.DashboardLink{{
			Title: "Verify", Type: grafana.DashboardLinkTypeDashboards, Icon: "dashboard", Tooltip: "The other dashboards, with the same choices",
			Tags: []string{tag}, IncludeVars: true, KeepTime: true,
		}},
		Annotations: grafana.AnnotationContainer{List: []grafana.AnnotationQuery{{
			Name: "Breaker opened", Datasource: &source, Enable: true, IconColor: bad, Step: new("30s"),
			Expr:        new(`sum by (breaker) (increase(verify_breaker_transitions_total{` + gateways + `,to="open"}[$__rate_interval])) > 0`),
			TitleFormat: new("breaker {{breaker}} opened"),
		}}},
		Templating: grafana.DashboardDashboardTemplating{List: slices.Concat(shared, variables)},
		Panels:     panels,
	}
}

// Selectors for the variables.
const (
	gateways  = `job=~"$job",instance=~"$instance"`
	countries = gateways + `,country=~"$country"`
)

// The variables of all dashboards.
var shared = []Variable{
	{
		Name: "datasource", Label: new("Data source"), Description: new("The Prometheus that scrapes the gateways"),
		Type: grafana.VariableTypeDatasource, Query: &grafana.StringOrMap{String: new("prometheus")}, Refresh: new(grafana.VariableRefreshOnDashboardLoad),
		Current: &grafana.VariableOption{Text: one(""), Value: one("")},
	},
	choice("job", "Job", "The gateways of one deployment", "label_values(verify_build_info, job)"),
	choice("instance", "Instance", "One gateway", `label_values(verify_build_info{job=~"$job"}, instance)`),
}

// country is the variable of dashboards with figures by country.
var country = choice("country", "Country", "Where verifications go to; figures that know no country are of all",
	`label_values(verify_verifications_started_total{job=~"$job"}, country)`)

// window is over how long verifications are added up: they are few, and their ends lag behind their starts.
var window = Variable{
	Name: "window", Label: new("Window"), Description: new("How long figures of verifications look back at each point"),
	Type: grafana.VariableTypeCustom, Query: &grafana.StringOrMap{String: new("15m,1h,6h,1d")},
	Current: &grafana.VariableOption{Text: one("1h"), Value: one("1h")},
	Options: []grafana.VariableOption{option("15m", false), option("1h", true), option("6h", false), option("1d", false)},
}

// choice is a variable with the values of a label, of which any number may be chosen.
func choice(name, label, description, query string) Variable {
	return Variable{
		Name: name, Label: &label, Description: &description,
		Type: grafana.VariableTypeQuery, Query: &grafana.StringOrMap{Map: map[string]any{"query": query, "refId": "A"}}, Datasource: &source,
		Current: &grafana.VariableOption{Text: several("All"), Value: several("$__all")},
		Multi:   new(true), IncludeAll: new(true), AllValue: new(".+"),
		Refresh: new(grafana.VariableRefreshOnTimeRangeChanged), Sort: new(grafana.VariableSortAlphabeticalAsc),
	}
}

func option(text string, selected bool) grafana.VariableOption {
	return grafana.VariableOption{Text: one(text), Value: one(text), Selected: &selected}
}

func one(text string) grafana.StringOrArrayOfString {
	return grafana.StringOrArrayOfString{String: &text}
}

func several(texts ...string) grafana.StringOrArrayOfString {
	return grafana.StringOrArrayOfString{ArrayOfString: texts}
}
