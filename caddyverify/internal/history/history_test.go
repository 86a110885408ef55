package history

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestQuantile(t *testing.T) {
	var h Histogram
	if _, ok := h.Quantile(.5); ok {
		t.Error("there is a quantile of nothing")
	}
	for i := range 1000 {
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{.5: 500 * time.Millisecond, .99: 990 * time.Millisecond, .01: 10 * time.Millisecond} {
		if got, _ := h.Quantile(q); math.Abs(float64(got-want)) > .09*float64(want) {
			t.Errorf("the quantile of %v is %v, want about %v", q, got, want)
		}
	}
	for _, d := range []time.Duration{0, time.Millisecond, time.Hour} {
		var one Histogram
		one.Add(d)
		if got, ok := one.Quantile(.5); !ok || got <= 0 {
			t.Errorf("the median of %v is %v", d, got)
		}
	}
}

func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		h.Started("GB", "checkout")
		h.Started("DE", "")
		h.Answered(wire.Request, Upstream, false)
		h.Answered(wire.PSD2, Gateway, true)
		h.Hits(7)
		h.Sent(true, 100*time.Millisecond)
		h.Sent(false, time.Second)
		h.Spent("EUR", "GB", "checkout", .1)
		h.Gauge(Gauges{Rate: 28, Waiting: 3})
		if lately := h.Lately(); lately.Sent != 2 || lately.Failed != 1 {
			t.Errorf("lately %d of %d calls failed", lately.Failed, lately.Sent)
		}
		time.Sleep(20 * time.Second)
		h.Finished(wire.OutcomeSuccess, "GB", "checkout", 1, 20*time.Second)
		h.Finished(wire.OutcomeExpired, "DE", "", 0, 0)
		h.Spent("EUR", "GB", "checkout", .05)
		expect := func(w Window, want string) {
			t.Helper()
			total := h.Total(w)
			got := fmt.Sprint(total.Requested, total.Started, total.Entered, total.Verified, total.Ended, total.Trouble, total.Sent, total.Failed,
				total.Calls[wire.Search][Memory], total.Spent)
			for _, name := range []string{"GB", "DE"} {
				if g := total.Countries[name]; g != nil {
					got += fmt.Sprint("; ", name, " ", g.Started, g.Ended, g.Verified(), g.Unchecked, g.Spent)
				}
			}
			if g := total.Callers["checkout"]; g != nil {
				got += fmt.Sprint("; checkout ", g.Started, g.Verified())
			}
			if got != want {
				t.Errorf("%v after %v:\n\t%s, want\n\t%s", w.Duration(), h.now(), got, want)
			}
		}
		const all = "2 2 1 1 2 1 2 1 7 map[EUR:0.15000000000000002]; GB 1 1 1 0 map[EUR:0.15000000000000002]; DE 1 1 0 1 map[]; checkout 1 1"
		for _, w := range Windows {
			expect(w, all)
		}
		time.Sleep(16 * time.Minute)
		if countries, _ := h.GroupsBefore(QuarterHour); countries["GB"].Verified() != 1 {
			t.Errorf("the quarter of an hour before had %v", countries)
		}
		for _, w := range []Window{Hour, Day} {
			if countries, _ := h.GroupsBefore(w); len(countries) > 0 {
				t.Errorf("the time before %v had %v", w.Duration(), countries)
			}
		}
		if lately := h.Lately(); lately.Sent != 0 {
			t.Error("calls of a quarter of an hour ago are lately")
		}
		expect(QuarterHour, "0 0 0 0 0 0 0 0 0 map[]")
		expect(Hour, all)
		if before := h.HourBefore().Started; before != 0 {
			t.Errorf("the hour before had %d", before)
		}
		time.Sleep(time.Hour)
		if before := h.HourBefore().Started; before != 2 {
			t.Errorf("the hour before had %d", before)
		}
		if countries, callers := h.GroupsBefore(Hour); countries["GB"].Verified() != 1 || callers["checkout"].Verified() != 1 {
			t.Errorf("the hour before had %v and %v", countries, callers)
		}
		expect(Hour, "0 0 0 0 0 0 0 0 0 map[]")
		expect(Day, all)
		time.Sleep(24 * time.Hour)
		expect(Day, "0 0 0 0 0 0 0 0 0 map[]")
	})
}

// A window's sum is that of its points but for the oldest, and of its groups, at any time.
func TestSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		for i := range 300 {
			h.Started("GB", "")
			time.Sleep(time.Duration(i) * time.Second)
			for _, w := range Windows {
				step, end, points := h.Series(w)
				if left := time.Until(end); left <= 0 || left > step {
					t.Fatalf("the present point of %v ends in %v", step, left)
				}
				if len(points) != int(w.Duration()/step) {
					t.Fatalf("%v has %d points of %v", w.Duration(), len(points), step)
				}
				sum := uint32(0)
				for _, p := range points {
					sum += p.Started
				}
				total := h.Total(w)
				if total.Started > sum || total.Started+15 < sum || total.Countries["GB"] != nil && total.Countries["GB"].Started != total.Started {
					t.Fatalf("%v has %d, its points %d, the country %+v", w.Duration(), total.Started, sum, total.Countries["GB"])
				}
			}
		}
	})
}

// What is kept is bounded, whatever happens for however long.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New()
		for i := range 26 * 60 {
			for n := range 3 * maxGroups {
				h.Started(fmt.Sprint("country", n), fmt.Sprint("caller", i, n))
			}
			time.Sleep(time.Minute)
		}
		total := h.Total(Day)
		if len(total.Countries) > maxGroups+1 || total.Countries[OtherGroup] == nil {
			t.Errorf("%d countries are told apart", len(total.Countries))
		}
		for _, r := range []ring[groups]{h.minutes, h.day} {
			for _, p := range r.places {
				if len(p.value.callers) > maxGroups+1 || len(p.value.countries) > maxGroups+1 {
					t.Fatalf("%d callers in one place", len(p.value.callers))
				}
			}
		}
		started := uint32(0)
		for _, g := range total.Countries {
			started += g.Started
		}
		if started != total.Started {
			t.Errorf("the countries have %d, all is %d", started, total.Started)
		}
	})
}

func BenchmarkAnswered(b *testing.B) {
	h := New()
	for b.Loop() {
		h.Answered(wire.Check, Upstream, false)
	}
}
