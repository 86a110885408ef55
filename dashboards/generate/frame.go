package main

// tag is what the dashboards find each other by.
const tag = "caddy-verify"

// file is the dashboard's name in the repository: its UID without the tag.
func (d *Dashboard) file() string { return d.UID[len(tag)+1:] + ".json" }

// dashboard makes one with what all of them have.
func dashboard(name, title, description, from string, variables []Variable, panels []*Panel) *Dashboard {
	return &Dashboard{
		UID:           tag + "-" + name,
		Title:         "Verify / " + title,
		Description:   description,
		Tags:          []string{tag},
		SchemaVersion: 41,
		GraphTooltip:  1,
		Refresh:       "1m",
		Timezone:      "browser",
		Time:          TimeRange{"now-" + from, "now"},
		Links:         []Link{{Title: "Verify", Type: "dashboards", Icon: "dashboard", Tooltip: "The other dashboards, with the same choices", Tags: []string{tag}, IncludeVars: true, KeepTime: true}},
		Annotations: Annotations{[]Annotation{{
			Name: "Breaker opened", Datasource: source, Enable: true, IconColor: bad, Step: "30s",
			Expr:        `sum by (breaker) (increase(verify_breaker_transitions_total{` + gateways + `,to="open"}[$__rate_interval])) > 0`,
			TitleFormat: "breaker {{breaker}} opened",
		}}},
		Templating: Templating{append(append([]Variable{}, common...), variables...)},
		Panels:     panels,
	}
}

// Selectors for the variables.
const (
	gateways  = `job=~"$job",instance=~"$instance"`
	countries = gateways + `,country=~"$country"`
)

// The variables of all dashboards.
var common = []Variable{
	{
		Name: "datasource", Label: "Data source", Description: "The Prometheus that scrapes the gateways",
		Type: "datasource", Query: "prometheus", Options: []Option{}, Refresh: 1,
		Current: Current{"", ""},
	},
	choice("job", "Job", "The gateways of one deployment", "label_values(verify_build_info, job)"),
	choice("instance", "Instance", "One gateway", `label_values(verify_build_info{job=~"$job"}, instance)`),
}

// country is the variable of dashboards with figures by country.
var country = choice("country", "Country", "Where verifications go to; figures that know no country are of all",
	`label_values(verify_verifications_started_total{job=~"$job"}, country)`)

// window is over how long verifications are added up: they are few, and their ends lag behind their starts.
var window = Variable{
	Name: "window", Label: "Window", Description: "How long figures of verifications look back at each point",
	Type: "custom", Query: "15m,1h,6h,1d", Current: Current{"1h", "1h"},
	Options: []Option{{"15m", "15m", false}, {"1h", "1h", true}, {"6h", "6h", false}, {"1d", "1d", false}},
}

// choice is a variable with the values of a label, of which any number may be chosen.
func choice(name, label, description, query string) Variable {
	return Variable{
		Name: name, Label: label, Description: description,
		Type: "query", Query: VariableQuery{query, "A"}, Datasource: &source,
		Current: Current{[]string{"All"}, []string{"$__all"}}, Options: []Option{},
		Multi: true, IncludeAll: true, AllValue: ".+", Refresh: 2, Sort: 1,
	}
}
