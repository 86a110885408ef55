package redis

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store/storetest"
)

// TestOneSends has four gateways get the same 1,000 requests at the same time.
func TestOneSends(t *testing.T) {
	const names, gateways, lease = 1000, 4, 5 * time.Minute
	s := newServer(t)
	var all []*store.Shared
	for i := range gateways {
		all = append(all, gateway(t, s.dial(), fmt.Sprint(i)))
	}
	var (
		sent       [names]atomic.Int64
		waits      = make(chan time.Duration, names*gateways)
		wg         sync.WaitGroup
		unanswered atomic.Int64
	)
	slots := make(chan struct{}, 16) // verifications at a time
	for i := range names {
		slots <- struct{}{}
		var done sync.WaitGroup
		var answered atomic.Int64 // when, in nanoseconds
		name := store.Name{Kind: store.Request, ID: fmt.Sprint(i)}
		for _, g := range all {
			done.Go(func() {
				mark := store.NewMark()
				c, err := retry(func() (store.Claim, error) { return g.Await(t.Context(), name, mark, [32]byte{1}, lease, lease) })
				switch {
				case err != nil:
					t.Errorf("request %d: %v", i, err)
				case c.State == store.Yours:
					sent[i].Add(1)
					time.Sleep(5 * time.Millisecond) // the provider's time
					answered.Store(time.Now().UnixNano())
					if kept, err := retry(func() (bool, error) { return g.Answer(t.Context(), name, mark, []byte(name.ID), time.Minute) }); !kept || err != nil {
						t.Errorf("request %d: the answer is not kept: %v", i, err)
					}
				case c.State == store.Answered && string(c.Answer) == name.ID:
					waits <- time.Since(time.Unix(0, answered.Load()))
				default:
					unanswered.Add(1)
				}
			})
		}
		wg.Go(func() {
			done.Wait()
			<-slots
		})
	}
	wg.Wait()
	close(waits)
	for i := range sent {
		if n := sent[i].Load(); n != 1 {
			t.Errorf("request %d was sent %d times", i, n)
		}
	}
	if n := unanswered.Load(); n > 0 {
		t.Errorf("%d have no answer", n)
	}
	p50, p99, most := percentiles(waits)
	t.Logf("the others have the answer p50 %v, p99 %v, at most %v after it is known", p50, p99, most)
}

// retry asks again on a busy machine; all calls may be repeated.
func retry[T any](call func() (T, error)) (v T, err error) {
	for start := time.Now(); time.Since(start) < back; {
		if v, err = call(); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	return v, err
}

// TestOneCounts has four gateways finish the same verifications.
func TestOneCounts(t *testing.T) {
	const ids = 2000
	s := newServer(t)
	var first atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		g := s.patient().open("account", fmt.Sprint(i))
		for part := range 4 {
			wg.Go(func() {
				for id := part; id < ids; id += 4 {
					is, err := g.Finish(t.Context(), store.Name{Kind: store.Verification, ID: fmt.Sprint(id)}, store.NewMark(), time.Hour)
					if err != nil {
						t.Error(err)
					}
					if is {
						first.Add(1)
					}
				}
			})
		}
	}
	wg.Wait()
	if n := first.Load(); n != ids {
		t.Errorf("%d verifications were counted, want %d", n, ids)
	}
}

// TestRate offers twice as much as there is, over four gateways, for some seconds.
func TestRate(t *testing.T) {
	s := newServer(t)
	var all []store.Store
	for i := range 4 {
		all = append(all, s.patient().open("account", fmt.Sprint(i)))
	}
	beats := func() {
		for _, g := range all {
			if _, err := g.Beat(t.Context(), store.Pulse{}); err != nil {
				t.Error(err)
			}
		}
	}
	eventually(t, back, "open", func() bool {
		beats()
		slot, err := all[0].Slot(t.Context(), store.Ask{Size: size, Most: -time.Second})
		return err == nil && slot.State == store.Full
	})
	inTime(t, func() (fault, late string) { return offerRate(t, all, beats) })
}

func offerRate(t *testing.T, all []store.Store, beats func()) (fault, late string) {
	const window = 900 * time.Millisecond // an answer comes some milliseconds after the slot was given
	var (
		mu              sync.Mutex
		at              []time.Duration
		wg              sync.WaitGroup
		slowest         time.Duration
		checks, refused int
	)
	start, offered := time.Now(), 0
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	for ; time.Since(start) < 4*time.Second; offered++ {
		<-tick.C
		i := offered
		if i%9 == 0 {
			beats()
		}
		ask := store.Ask{Size: size, Spare: 6, Most: 250 * time.Millisecond}
		check := i%10 < 3
		if check {
			ask.Spare, ask.Most = 0, 500*time.Millisecond
		}
		wg.Go(func() {
			asked := time.Now()
			slot, err := all[i%len(all)].Slot(t.Context(), ask)
			mu.Lock()
			defer mu.Unlock()
			slowest = max(slowest, time.Since(asked))
			switch {
			case err != nil:
				t.Error(err)
			case slot.State == store.Given:
				at = append(at, time.Since(start)+slot.Wait)
			case check:
				refused++
			}
			if check {
				checks++
			}
		})
	}
	wg.Wait()
	most := storetest.Most(at, window)
	t.Logf("%d calls, up to %d in 0.9 s and %d in a second; %d of %d checks refused", len(at), most, storetest.Most(at, time.Second), refused, checks)
	if slowest > time.Second-window || offered < 4*55 {
		late = fmt.Sprintf("%d offered, the slowest took %v", offered, slowest)
	}
	switch {
	case most > size || len(at) < 3*size:
		fault = "too many, or too few"
	case refused > checks/10:
		fault = "checks do not come first"
	}
	return fault, late
}
