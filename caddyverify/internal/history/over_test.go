package history

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What is kept of the sums of steps that are over makes no difference, whenever somebody looks; and who has a Total may
// change it.
func TestTotalsOfStepsThatAreOver(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		waits := rapid.SliceOfN(rapid.SampledFrom([]time.Duration{0, time.Second, 6 * time.Second, time.Minute, 16 * time.Minute, 3 * time.Hour, 25 * time.Hour}), 1, 30).Draw(r, "waits")
		names := rapid.SliceOfN(rapid.IntRange(0, 3), len(waits), len(waits)).Draw(r, "names")
		var problem string
		synctest.Test(t, func(*testing.T) {
			h := New()
			for n, wait := range waits {
				time.Sleep(wait)
				name := fmt.Sprint("caller", names[n])
				h.Started("GB", name)
				h.Finished(wire.OutcomeSuccess, "GB", name, 1, time.Second)
				h.Spent("EUR", "GB", name, 0.5)
				h.Gauge(Gauges{Rate: n + 1})
				for _, w := range Windows {
					got := h.Total(w)
					h.over = [len(Windows)]sum{}
					if want := h.Total(w); !reflect.DeepEqual(got, want) {
						problem = fmt.Sprintf("%v after step %d: %+v, want %+v", w.Duration(), n, got, want)
					}
					spoilt := h.Total(w)
					spoilt.Spent.add("EUR", 1)
					for _, g := range spoilt.Callers {
						g.Started = 0
						g.Spent.add("EUR", 1)
					}
					if again := h.Total(w); !reflect.DeepEqual(got, again) {
						problem = fmt.Sprintf("%v after step %d: %+v once somebody has changed his, want %+v", w.Duration(), n, again, got)
					}
				}
			}
		})
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

// BenchmarkTotal is with as many callers as there can be, in each step of the last day: the history begins earlier and
// earlier. It is how long calls may have to
// wait for whoever looks.
func BenchmarkTotal(b *testing.B) {
	h := New()
	begun := h.epoch
	for m := range int(25 * time.Hour / time.Minute) {
		h.epoch = begun.Add(-time.Duration(m) * time.Minute)
		for c := range maxGroups {
			h.Finished(wire.OutcomeSuccess, "GB", fmt.Sprint(c), 1, time.Second)
		}
	}
	for _, w := range Windows {
		b.Run(w.Duration().String(), func(b *testing.B) {
			for b.Loop() {
				h.Total(w)
			}
		})
	}
}
