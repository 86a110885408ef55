//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// The kinds of spans and the status of one, as OTLP numbers them.
const (
	serverSpan = 2
	clientSpan = 3
	errorCode  = 2
)

// span is a span as the Collector received it.
type span struct {
	TraceID      string
	SpanID       string
	ParentSpanID string
	Name         string
	Kind         int
	Start        int64 `json:"startTimeUnixNano,string"`
	End          int64 `json:"endTimeUnixNano,string"`
	Attributes   attributes
	Status       struct{ Code int }
	Events       []json.RawMessage
	Links        []spanLink
}

type spanLink struct {
	TraceID, SpanID string
	Attributes      attributes
}

// attributes are OTLP's, with each value as text.
type attributes map[string]string

func (a *attributes) UnmarshalJSON(text []byte) error {
	var list []struct {
		Key   string
		Value map[string]any
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*a = attributes{}
	for _, one := range list {
		for _, value := range one.Value {
			switch value := value.(type) {
			case string:
				(*a)[one.Key] = value
			default:
				text, _ := json.Marshal(value) // it has just been decoded
				(*a)[one.Key] = string(text)
			}
		}
	}
	return nil
}

// lines reads a file that the Collector wrote.
func lines[T any](t *testing.T, c *collector, name string, each func(T)) {
	t.Helper()
	file, err := os.Open(filepath.Join(c.folder, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var line T
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		each(line)
	}
	if err := scanner.Err(); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// spans returns all that the Collector received.
func (c *collector) spans(t *testing.T) []span {
	t.Helper()
	type line struct {
		ResourceSpans []struct {
			ScopeSpans []struct{ Spans []span }
		}
	}
	var all []span
	lines(t, c, "traces.jsonl", func(l line) {
		for _, r := range l.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	})
	return all
}

// pushed are the last values of the metrics that the Collector received.
type pushed map[string]map[string]pushedPoint // by name, then by all labels

type pushedPoint struct {
	attributes attributes
	value      float64
	at         uint64
}

func (c *collector) metrics(t *testing.T) pushed {
	t.Helper()
	type point struct {
		Attributes   attributes
		TimeUnixNano string
		AsDouble     float64
		AsInt        string
		Count        string
	}
	type points struct{ DataPoints []point }
	type line struct {
		ResourceMetrics []struct {
			ScopeMetrics []struct {
				Metrics []struct {
					Name                  string
					Sum, Gauge, Histogram points
				}
			}
		}
	}
	all := pushed{}
	lines(t, c, "metrics.jsonl", func(l line) {
		for _, r := range l.ResourceMetrics {
			for _, s := range r.ScopeMetrics {
				for _, m := range s.Metrics {
					for _, kind := range []points{m.Sum, m.Gauge, m.Histogram} {
						for _, p := range kind.DataPoints {
							value := p.AsDouble
							for _, text := range []string{p.AsInt, p.Count} {
								if n, err := strconv.ParseFloat(text, 64); err == nil {
									value = n
								}
							}
							at, _ := strconv.ParseUint(p.TimeUnixNano, 10, 64)
							all.add(m.Name, pushedPoint{p.Attributes, value, at})
						}
					}
				}
			}
		}
	})
	return all
}

func (all pushed) add(name string, p pushedPoint) {
	if all[name] == nil {
		all[name] = map[string]pushedPoint{}
	}
	key, _ := json.Marshal(p.attributes) // with its keys in order
	if old := all[name][string(key)]; old.at <= p.at {
		all[name][string(key)] = p
	}
}

// sum is what `sum by (labels) (name)` is in PromQL; zeros are left out.
func (all pushed) sum(name string, labels ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, p := range all[name] {
		sums[labelsKey(p.attributes, labels)] += p.value
	}
	maps.DeleteFunc(sums, func(_ string, value float64) bool { return value == 0 })
	return sums
}
