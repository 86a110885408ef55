//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// panelQuery is a query of a panel.
type panelQuery struct {
	Dashboard, Panel, RefID, Expr, LegendFormat string
}

func (q panelQuery) String() string {
	return fmt.Sprintf("%s, panel %q, query %s", q.Dashboard, q.Panel, q.RefID)
}

// panelQueries reads those of the dashboards as they are shipped, annotations included.
func panelQueries(t *testing.T) []panelQuery {
	t.Helper()
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("there are %d dashboards (%v)", len(files), err)
	}
	var all []panelQuery
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var dashboard struct {
			Annotations struct{ List []struct{ Name, Expr string } }
			Panels      []struct {
				Title   string
				Targets []struct{ RefID, Expr, LegendFormat string }
			}
		}
		if err := json.Unmarshal(content, &dashboard); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, a := range dashboard.Annotations.List {
			all = append(all, panelQuery{name, a.Name, "annotation", a.Expr, ""})
		}
		for _, p := range dashboard.Panels {
			for _, q := range p.Targets {
				all = append(all, panelQuery{name, p.Title, q.RefID, q.Expr, q.LegendFormat})
			}
		}
	}
	return all
}

// chosen fills in what a dashboard's reader chooses: everything, and a range and window of time.
func chosen(expr, span string) string {
	return strings.NewReplacer("$__rate_interval", "4s", "$__range", span, "$window", span,
		"$job", ".+", "$instance", ".+", "$country", ".+", "$caller", ".+").Replace(expr)
}

var spanPattern = regexp.MustCompile(`(\[|offset |for: |interval: )(\d+)([smhd])\b`)

// faster makes hours of rules or queries shorter, for a test that has only minutes.
func faster(text string, times int) string {
	unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}
	return spanPattern.ReplaceAllStringFunc(text, func(found string) string {
		m := spanPattern.FindStringSubmatch(found)
		n, _ := strconv.Atoi(m[2])
		return fmt.Sprintf("%s%dms", m[1], (time.Duration(n) * unit[m[3]] / time.Duration(times)).Milliseconds())
	})
}

// course is a series over time.
type course struct {
	Metric     map[string]string
	Values     [][2]any
	Histograms [][2]any // in place of values
}

// most is the highest of its values, and whether there is any.
func (c course) most() (float64, bool) {
	most, any := math.Inf(-1), false
	for _, v := range c.Values {
		text, _ := v[1].(string)
		if value, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(value) {
			most, any = max(most, value), true
		}
	}
	return most, any || len(c.Histograms) > 0
}

// courses evaluates PromQL over a time.
func (p *prometheus) courses(promQL string, from, to time.Time) ([]course, error) {
	var data struct{ Result []course }
	err := p.get("/api/v1/query_range", url.Values{
		"query": {promQL},
		"start": {fmt.Sprintf("%.3f", float64(from.UnixMilli())/1000)},
		"end":   {fmt.Sprintf("%.3f", float64(to.UnixMilli())/1000)},
		"step":  {"500ms"},
	}, &data)
	return data.Result, err
}
