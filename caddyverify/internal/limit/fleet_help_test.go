package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// fleet are gateways that share a store. It is made and used in a synctest bubble.
type fleet struct {
	gateways []*member
	fails    atomic.Bool // the store refuses connections
	hangs    atomic.Bool // it does not answer
}

// member is a gateway.
type member struct {
	*Limiter
	shared *store.Shared
	// trip is the way to the store and back, and asks are how often it was asked for a slot.
	trip  atomic.Int64
	asks  atomic.Int64
	stop  func() // signs off
	die   func() // says nothing more
	fleet *fleet
	store.Store
	dead atomic.Bool
}

func (m *member) takes() time.Duration { return time.Duration(m.trip.Load()) }

func (m *member) way() error {
	if m.fleet.fails.Load() || m.dead.Load() {
		return errors.New("refused")
	}
	if m.fleet.hangs.Load() {
		time.Sleep(time.Minute)
		return errors.New("hung")
	}
	time.Sleep(m.takes() / 2)
	return nil
}

func (m *member) Slot(ctx context.Context, ask store.Ask) (store.Slot, error) {
	m.asks.Add(1)
	if err := m.way(); err != nil {
		return store.Slot{}, err
	}
	slot, err := m.Store.Slot(ctx, ask)
	time.Sleep(m.takes() - m.takes()/2)
	return slot, err
}

func (m *member) Beat(ctx context.Context, p store.Pulse) (store.Seen, error) {
	if err := m.way(); err != nil {
		return store.Seen{}, err
	}
	return m.Store.Beat(ctx, p)
}

// newFleet returns gateways that know of each other. Their ways to the store are not alike.
func newFleet(t *testing.T, n int, s Settings) *fleet {
	t.Helper()
	f, memory := new(fleet), new(store.Memory)
	keys, err := store.NewKeys("account", "a key of at least thirty-two characters")
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		m := &member{fleet: f}
		m.trip.Store(int64(3+i) * int64(100*time.Microsecond))
		m.Store = memory.Open("account", fmt.Sprint(i))
		m.shared = store.NewShared(m, keys)
		m.Limiter = New(s)
		m.Share(m.shared)
		m.ring.random = rand.New(rand.NewPCG(uint64(i), 1))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			m.shared.Run(ctx)
		}()
		m.stop = func() { cancel(); <-ended }
		m.die = func() { m.dead.Store(true); m.stop() }
		f.gateways = append(f.gateways, m)
	}
	t.Cleanup(func() {
		for _, m := range f.gateways {
			m.stop()
		}
		time.Sleep(2 * time.Minute) // what is asked still is answered
	})
	time.Sleep(time.Second)
	return f
}

// sentTo are calls that come to one of the gateways.
type sentTo struct {
	gateway  int
	arrivals []arrival
}

// run lets all calls come and returns what became of them, by gateway.
func (f *fleet) run(calls ...sentTo) (outcomes [][]outcome) {
	var wg sync.WaitGroup
	outcomes = make([][]outcome, len(f.gateways))
	var all []sentTo
	for _, c := range calls {
		for _, a := range c.arrivals {
			all = append(all, sentTo{c.gateway, []arrival{a}})
		}
	}
	slices.SortStableFunc(all, func(a, b sentTo) int { return int(a.arrivals[0].at - b.arrivals[0].at) })
	start := time.Now()
	var mu sync.Mutex
	for _, c := range all {
		a, m := c.arrivals[0], f.gateways[c.gateway]
		time.Sleep(time.Until(start.Add(a.at)))
		wg.Go(func() {
			came := time.Now()
			refusal, ok := m.Wait(context.Background(), a.caller, a.operation)
			o := outcome{a, time.Since(came), refusal.RetryAfter, ok, refusal.Own}
			mu.Lock()
			defer mu.Unlock()
			outcomes[c.gateway] = append(outcomes[c.gateway], o)
		})
		synctest.Wait()
	}
	wg.Wait()
	return outcomes
}

// divide divides a flood between gateways by their weights.
func divide(seed uint64, caller string, m mix, d time.Duration, shares ...float64) (calls []sentTo) {
	for i, share := range shares {
		part := mix{m.request * share, m.check * share, m.search * share}
		calls = append(calls, sentTo{i, flood(seed+uint64(i), caller, part, 0, d)})
	}
	return calls
}
