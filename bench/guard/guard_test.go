package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestMonth tries the recommended rules on a small month. Its applications have so few users that the
// goal for genuine starts is not theirs: a loop over 30 users is most of what they do.
func TestMonth(t *testing.T) {
	o := options{days: 15, scale: 0.05, seed: 1}
	m := newMonth(o)
	folder := t.TempDir()
	for _, a := range accounts {
		if err := m.write(folder, a); err != nil {
			t.Fatal(err)
		}
	}
	results, err := m.try(folder, []ruleSet{ruleSets[0], {"countries", "countries enforce {countries}"}})
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if r.stopped() < leastStopped {
		t.Errorf("%.1f %% of the attacks' spend is stopped", 100*r.stopped())
	}
	for i := range attacks {
		if of := r.attacks[&attacks[i]]; of == nil || !of.detected || of.before > 1000 {
			t.Errorf("%s: %+v", attacks[i].name, of)
		}
	}
	if r.genuine < 10_000 || r.wrong() > 0.05 {
		t.Errorf("%d of %d genuine starts are refused", r.refused, r.genuine)
	}
	if wrong := results[1].wrong(); wrong == 0 || wrong > 0.01 {
		t.Errorf("%.3f %% of genuine starts are of other countries", 100*wrong)
	}
	var table bytes.Buffer
	m.report(&table, results)
	if text := table.String(); !strings.Contains(text, "\n| none | 0.0 % | 0.000 % | 0 % |") || strings.Count(text, "\n| ") != 4 {
		t.Errorf("the table is\n%s", text)
	}
}

// TestTraffic looks at what is invented.
func TestTraffic(t *testing.T) {
	o := options{days: 15, scale: 0.05, seed: 3}
	m := newMonth(o)
	if !reflect.DeepEqual(m.starts, newMonth(o).starts) {
		t.Error("the same seed makes another month")
	}
	started, verified := map[*app]float64{}, map[*app]float64{}
	var last time.Duration
	for i := range m.starts {
		s := &m.starts[i]
		if n := len(s.number.prefix) + 4; n < 10 || n > 15 || s.number.suffix < 0 || s.number.suffix > 9999 || s.at < last {
			t.Fatalf("start %d is %+v", i, s)
		}
		last = s.at
		if s.attack == nil {
			if started[s.app]++; s.outcome == "success" {
				verified[s.app]++
			}
		}
	}
	for _, a := range apps {
		share := verified[a] / started[a]
		if a.checks && (share < 0.65 || share > 0.95) || !a.checks && share > 0 {
			t.Errorf("%s: %.2f are verified", a.name, share)
		}
	}
}
