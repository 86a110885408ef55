package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	grafana "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestFiles keeps the files equal to what the program writes.
func TestFiles(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dashboards/%s is not what the program writes (%v); run: go run -C dashboards/generate .", name, err)
		}
	}
	there, err := filepath.Glob("../*.json")
	if err != nil || len(there) != len(dashboards()) {
		t.Errorf("there are %d dashboards (%v), the program writes %d", len(there), err, len(dashboards()))
	}
	if len(there) != 6 {
		t.Errorf("there are %d dashboards, README.md says six", len(there))
	}
}

func TestPanels(t *testing.T) {
	known := catalogue(t)
	uids := map[string]bool{}
	for _, d := range dashboards() {
		t.Run(*d.Uid, func(t *testing.T) {
			if uids[*d.Uid] || len(*d.Uid) > 40 || *d.Title == "" || *d.Description == "" {
				t.Errorf("uid %q, title %q, description %q", *d.Uid, *d.Title, *d.Description)
			}
			uids[*d.Uid] = true
			if !slices.Contains(d.Tags, tag) || len(d.Links) != 1 || !slices.Contains(d.Links[0].Tags, tag) {
				t.Error("it is not linked to the others")
			}
			ids, titles, places := map[uint32]bool{}, map[string]bool{}, []grafana.GridPos{}
			for _, p := range d.Panels {
				var id uint32
				var title string
				var place grafana.GridPos
				if r := p.RowPanel; r != nil {
					id, title, place = r.Id, "row "+*r.Title, *r.GridPos
				} else {
					id, title, place = *p.Panel.Id, *p.Panel.Title, *p.Panel.GridPos
					checkPanel(t, p.Panel, known)
				}
				if ids[id] || titles[title] || strings.TrimPrefix(title, "row ") == "" {
					t.Errorf("panel %d %q: its number or title is missing or another's", id, title)
				}
				ids[id], titles[title] = true, true
				if slices.ContainsFunc(places, func(other grafana.GridPos) bool { return overlap(place, other) }) {
					t.Errorf("%q lies over another one", title)
				}
				places = append(places, place)
			}
			for _, a := range d.Annotations.List {
				for _, wrong := range unknowns(*a.Expr, known, nil) {
					t.Errorf("annotation %q: no %s", a.Name, wrong)
				}
			}
			checkVariables(t, d)
		})
	}
}

func overlap(a, b grafana.GridPos) bool {
	return a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H || a.X+a.W > 24
}

func checkPanel(t *testing.T, p *Panel, known map[string]metric) {
	t.Helper()
	title := *p.Title
	if len(*p.Description) < 40 || !strings.HasSuffix(*p.Description, ".") {
		t.Errorf("panel %q: its description tells too little: %q", title, *p.Description)
	}
	if *p.FieldConfig.Defaults.Unit == "" || p.Datasource != &source || len(p.Targets) == 0 {
		t.Errorf("panel %q: it lacks a unit, the data source variable or a query", title)
	}
	steps := p.FieldConfig.Defaults.Thresholds.Steps
	for i, s := range steps {
		if (i == 0) != (s.Value == nil) || i > 1 && *s.Value < *steps[i-1].Value {
			t.Errorf("panel %q: threshold %d", title, i)
		}
	}
	for _, runbook := range regexp.MustCompile(`\bVerify[A-Z]\w+`).FindAllString(*p.Description, -1) {
		if _, err := os.Stat("../runbooks/" + runbook + ".md"); err != nil {
			t.Errorf("panel %q names a runbook that there is not: %v", title, err)
		}
	}
	for _, asked := range p.Targets {
		target := asked.(Target)
		if target.Datasource != &source || *target.Instant == *target.Range {
			t.Errorf("panel %q, query %s: data source or kind", title, *target.RefId)
		}
		for _, wrong := range unknowns(target.Expr, known, nil) {
			t.Errorf("panel %q, query %s: no %s", title, *target.RefId, wrong)
		}
		for _, of := range regexp.MustCompile(`verify_[a-z_]+(\{[^}]*\})?`).FindAllString(target.Expr, -1) {
			if !strings.Contains(of, gateways) {
				t.Errorf("panel %q, query %s: %s does not follow the choice of job and instance", title, *target.RefId, of)
			}
		}
		if strings.Contains(target.Expr, "duration_seconds_bucket") && strings.Contains(target.Expr, "upstream") && *target.Range && !*target.Exemplar {
			t.Errorf("panel %q, query %s: without exemplars", title, *target.RefId)
		}
	}
}

func checkVariables(t *testing.T, d *Dashboard) {
	t.Helper()
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Label == nil || *v.Label == "" || v.Description == nil || *v.Description == "" {
			t.Errorf("variable %s: without label or description", v.Name)
		}
	}
	if !slices.Equal(names[:3], []string{"datasource", "job", "instance"}) {
		t.Errorf("variables: %q", names)
	}
	used := map[string]bool{}
	for _, p := range d.Panels {
		if p.Panel == nil {
			continue // a row
		}
		for _, asked := range p.Panel.Targets {
			for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(asked.(Target).Expr, -1) {
				used[m[1]] = true
			}
		}
	}
	delete(used, "__range")
	delete(used, "__rate_interval")
	for name := range used {
		if !slices.Contains(names, name) {
			t.Errorf("a query uses the variable %s, which there is not", name)
		}
	}
	for _, name := range names[1:] {
		if !used[name] {
			t.Errorf("no query uses the variable %s", name)
		}
	}
}

func TestRules(t *testing.T) {
	known := catalogue(t)
	var recorded []string
	for _, g := range groups() {
		for _, r := range g.Rules {
			exprs := []string{r.Expr}
			for _, asked := range regexp.MustCompile("printf `([^`]*)`").FindAllStringSubmatch(r.Notes.Description, -1) {
				exprs = append(exprs, regexp.MustCompile(`%(\[1\])?[qvfs]`).ReplaceAllString(asked[1], `"1"`))
			}
			for _, expr := range exprs {
				for _, wrong := range unknowns(expr, known, recorded) {
					t.Errorf("rule %s%s: no %s in %s", r.Record, r.Alert, wrong, expr)
				}
			}
			if r.Record != "" {
				recorded = append(recorded, r.Record)
			}
		}
	}
}

// TestAlerts wants everything of an alert that its reader needs: a runbook, a dashboard, and that it was tried.
func TestAlerts(t *testing.T) {
	var tests strings.Builder
	tested, err := filepath.Glob("../rules/*.test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tested {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(content)
	}
	var uids []string
	for _, d := range dashboards() {
		uids = append(uids, *d.Uid)
	}
	alerts := map[string]bool{}
	for _, g := range groups() {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}
			alerts[r.Alert] = true
			if s := r.Labels["severity"]; s != page && s != ticket {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			if r.Notes.Summary == "" || r.Notes.Description == "" {
				t.Errorf("%s: summary %q, description %q", r.Alert, r.Notes.Summary, r.Notes.Description)
			}
			uid, _, _ := strings.Cut(strings.TrimPrefix(r.Notes.Dashboard, "/d/"), "?")
			if !slices.Contains(uids, uid) {
				t.Errorf("%s: there is no dashboard %q", r.Alert, uid)
			}
			checkRunbook(t, r)
			fires, quiet := tried(tests.String(), r.Alert)
			if !fires || !quiet {
				t.Errorf("%s: a promtool test wants it raised: %t, and not raised: %t", r.Alert, fires, quiet)
			}
		}
	}
	files, err := filepath.Glob("../runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); !alerts[name] {
			t.Errorf("runbook %s is of no alert", name)
		}
	}
}

func checkRunbook(t *testing.T, r Rule) {
	t.Helper()
	content, err := os.ReadFile("../runbooks/" + r.Alert + ".md")
	if err != nil {
		t.Error(err)
		return
	}
	if !strings.HasSuffix(r.Notes.RunbookURL, "/dashboards/runbooks/"+r.Alert+".md") {
		t.Errorf("%s: runbook %q", r.Alert, r.Notes.RunbookURL)
	}
	var headings []string
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, "#") {
			headings = append(headings, strings.TrimSpace(line))
		}
	}
	if want := []string{"# " + r.Alert, "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"}; !slices.Equal(headings, want) {
		t.Errorf("the runbook of %s has the headings %q, want %q", r.Alert, headings, want)
	}
}

// TestRunbooks wants the queries of the runbooks to name what there is.
func TestRunbooks(t *testing.T) {
	known := catalogue(t)
	var recorded []string
	for _, g := range groups() {
		for _, r := range g.Rules {
			recorded = append(recorded, r.Record)
		}
	}
	files, err := filepath.Glob("../runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^ +((?:[a-z_]+ by|[a-z_]+\() ?\(?.*verify_.*)$`).FindAllStringSubmatch(string(content), -1) {
			for _, wrong := range unknowns(m[1], known, recorded) {
				t.Errorf("%s: %s: no %s", filepath.Base(file), m[1], wrong)
			}
		}
	}
}

// tried tells whether the tests want an alert at some time, and none of it at another.
func tried(tests, alert string) (fires, quiet bool) {
	for _, part := range strings.Split(tests, "- eval_time:")[1:] {
		if !regexp.MustCompile(`alertname: ` + alert + `\b`).MatchString(part) {
			continue
		}
		if strings.Contains(part, "exp_labels:") {
			fires = true
		} else {
			quiet = true
		}
	}
	return fires, quiet
}
