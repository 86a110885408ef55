package limit

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// within returns the times from one to another.
func within(times []time.Duration, from, to time.Duration) []time.Duration {
	return slices.DeleteFunc(slices.Clone(times), func(at time.Duration) bool { return at < from || at >= to })
}

// TestFleetLosesItsStore offers 64 calls a second to four gateways, 40 of them to one, or few
// before the store is lost.
func TestFleetLosesItsStore(t *testing.T) {
	const lost, back, end = 5 * time.Second, 9 * time.Second, 20 * time.Second
	fails := func(f *fleet) *atomic.Bool { return &f.fails }
	shares := []float64{40. / 64, 8. / 64, 8. / 64, 8. / 64}
	for _, tt := range []struct {
		name   string
		before float64 // how much comes before the loss, of what comes after it
		how    func(*fleet) *atomic.Bool
	}{
		{"in a flood", 1, fails},
		{"in a flood it hangs", 1, func(f *fleet) *atomic.Bool { return &f.hangs }},
		{"after a quiet time", 0, fails},
		{"after a time with some calls", .3, fails},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			f := newFleet(t, 4, Settings{})
			time.AfterFunc(lost, func() { tt.how(f).Store(true) })
			time.AfterFunc(back, func() { tt.how(f).Store(false) })
			var during Stats
			time.AfterFunc(lost+2*time.Second, func() { during = f.gateways[0].Stats() })
			calls := divide(1, "", mix{45, 19, 0}, end, shares...)
			for i := range calls {
				few := int(tt.before * 100)
				n := 0
				calls[i].arrivals = slices.DeleteFunc(calls[i].arrivals, func(a arrival) bool {
					n++
					return a.at < lost && n%100 >= few
				})
			}
			outcomes := f.run(calls...)
			times := sent(nil, slices.Concat(outcomes...), 0)
			calm := mostInASecond(within(times, 0, lost))
			loss := mostInASecond(within(times, lost-time.Second, lost+time.Second))
			away := within(times, lost+time.Second, back)
			atReturn := mostInASecond(within(times, back-time.Second, back+time.Second))
			after := within(times, back+2*time.Second, end) // once what was called meanwhile is taken off
			t.Logf("most in a second: before %d, at the loss %d, while away %d, at the return %d, after %d; %d while away, %d in 9 s after",
				calm, loss, mostInASecond(away), atReturn, mostInASecond(after), len(away), len(after))
			if max(calm, mostInASecond(away), mostInASecond(after)) > 29 || max(loss, atReturn) > 46 {
				t.Error("too many")
			}
			if len(away) < 3*20 || len(after) < 9*25 {
				t.Error("too few")
			}
			for i, o := range outcomes {
				if most := mostInASecond(within(sent(nil, o, 0), lost+time.Second, back)); most > 8 { // both ends
					t.Errorf("gateway %d made %d calls in a second, of a share of 7", i, most)
				}
				if asks := f.gateways[i].shared.Stats().Alone; asks == 0 {
					t.Errorf("gateway %d went on asking over the network", i)
				}
			}
			if !during.Alone || during.Share != 7 || during.Rate != 28 {
				t.Errorf("while it was away: %+v", during)
			}
			time.Sleep(5 * time.Second)
			if s := f.gateways[0].Stats(); s.Alone || s.Share != 0 {
				t.Errorf("once it is back: %+v", s)
			}
			for _, o := range slices.Concat(outcomes...) {
				if o.waited > maxWait || !o.ok && o.retryAfter < time.Second {
					t.Fatalf("%+v", o)
				}
			}
		})
	}
}

// TestAloneChecksFirst has checks go before others on a share, too.
func TestAloneChecksFirst(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		f.fails.Store(true)
		time.Sleep(2 * time.Second)
		const window = 20 * time.Second
		all := f.run(sentTo{0, flood(1, "", mix{100, 3, 100}, 0, window)})[0]
		came, ok, _, _ := of(all, wire.Check)
		_, others, _, _ := of(all, wire.Request)
		t.Logf("%d of %d checks, %d requests", ok, came, others)
		if ok < came-1 || others < 5*20 || len(sent(nil, all, 0)) < 13*20 {
			t.Error("checks do not come first, or alone")
		}
	})
}

// TestGatewayIsGone has one of two gateways end: the rate is the other's.
func TestGatewayIsGone(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(*member)
		after time.Duration // this one has all
	}{
		{"it signs off", func(m *member) { m.stop() }, 5 * time.Second},
		{"it dies", func(m *member) { m.die() }, 70 * time.Second},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			f := newFleet(t, 2, Settings{})
			tt.end(f.gateways[1])
			time.Sleep(tt.after)
			if n := len(sent(nil, f.run(sentTo{0, atOnce(0, wire.Check, 40)})[0], 0)); n != 28 {
				t.Errorf("%d calls at once", n)
			}
			f.fails.Store(true)
			time.Sleep(5 * time.Second)
			if n := len(sent(nil, f.run(sentTo{0, atOnce(0, wire.Check, 40)})[0], 0)); n != 28 {
				t.Errorf("%d calls at once without the store", n)
			}
		})
	}
}

// TestLossCountsWhatWasUsed has the store be lost right after one gateway has used all slots:
// there are none for the other until that second is over.
func TestLossCountsWhatWasUsed(t *testing.T) {
	for _, tt := range []struct {
		used, want int // by the first, and then by the second at once
	}{{28, 0}, {18, 5}, {0, 14}} {
		bubble(t, "", func(t *testing.T) {
			f := newFleet(t, 2, Settings{})
			first := f.run(sentTo{0, atOnce(0, wire.Check, tt.used)})[0]
			time.Sleep(200 * time.Millisecond) // until a beat has told of it
			f.fails.Store(true)
			n := len(sent(nil, f.run(sentTo{1, atOnce(0, wire.Check, 40)})[1], 0))
			time.Sleep(2 * time.Second)
			later := len(sent(nil, f.run(sentTo{1, atOnce(0, wire.Check, 40)})[1], 0))
			if len(sent(nil, first, 0)) != tt.used || n != tt.want || later != 14 {
				t.Errorf("%d were used, and then %d and %d; want %d and 14", tt.used, n, later, tt.want)
			}
		})
	}
}

// TestReturnCountsWhatWasCalled has one gateway use its share while the store is away, and the
// other want all slots when it is back.
func TestReturnCountsWhatWasCalled(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		f.fails.Store(true)
		var alone []time.Duration
		begun := time.Now()
		for i := 0; ; i++ {
			if _, ok := f.gateways[0].Wait(t.Context(), "", wire.Check); ok {
				alone = append(alone, time.Since(begun))
			}
			if i == 60 {
				f.fails.Store(false)
			}
			if i > 60 && f.gateways[0].shared.Stats().Away.IsZero() {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(180 * time.Millisecond) // until a beat has told of it
		n := len(within(alone, time.Since(begun)-time.Second, time.Hour))
		if more := len(sent(nil, f.run(sentTo{1, atOnce(0, wire.Check, 40)})[1], 0)); n < 8 || more < 10 || n+more > 28+1 {
			t.Errorf("%d calls, and then %d at once", n, more)
		}
	})
}

// A store that answers others has them use what there is, so that one call without an answer is
// no reason to make a second's calls at once.
func TestOneCallWithoutAnAnswer(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f := newFleet(t, 2, Settings{})
		l, now := f.gateways[0].Limiter, time.Now()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lost(store.Stats{Gateways: 2, Used: 20}, true, now)
		if l.ring.left != 4 || !l.ring.closed.Equal(now.Add(time.Second)) {
			t.Errorf("%d calls are left until %v", l.ring.left, l.ring.closed.Sub(now))
		}
		l.lost(store.Stats{Gateways: 2, Used: 20}, true, now.Add(time.Millisecond))
		if !l.ring.closed.Equal(now.Add(time.Second)) {
			t.Errorf("then until %v", l.ring.closed.Sub(now))
		}
	})
}

// TestOtherSettingsOfAStore has all gateways reload with a store that cannot be reached: they
// are as many as before.
func TestOtherSettingsOfAStore(t *testing.T) {
	bubble(t, "", func(t *testing.T) {
		f, unreachable := newFleet(t, 4, Settings{}), new(fleet)
		unreachable.fails.Store(true)
		keys, err := store.NewKeys("account", "another key of at least thirty-two characters")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.gateways {
			m.Share(store.NewShared(&member{fleet: unreachable, Store: m.Store}, keys))
		}
		times := sent(nil, slices.Concat(f.run(divide(1, "", mix{45, 19, 0}, 5*time.Second, .25, .25, .25, .25)...)...), 0)
		if most := mostInASecond(times); most > 29 || len(times) < 5*20 {
			t.Errorf("%d calls, %d of them in a second", len(times), most)
		}
		if s := f.gateways[0].Stats(); !s.Alone || s.Share != 7 {
			t.Errorf("%+v", s)
		}
	})
}
