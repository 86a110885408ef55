package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// twin is one of two gateways of an account, with its own way to the provider.
type twin struct {
	*Gateway
	settings Settings
	store.Store
	hints atomic.Int64 // that it left

	mu       sync.Mutex
	status   string // of every answer; "" for one that is fine, "down" for none at all
	searches int
	events   []string
}

func (w *twin) Hint(ctx context.Context, n store.Name, v []byte, life time.Duration) error {
	w.hints.Add(1)
	return w.Store.Hint(ctx, n, v, life)
}

func (w *twin) set(status string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

func (w *twin) RoundTrip(r *http.Request) (*http.Response, error) {
	search := strings.HasPrefix(r.URL.Path, "/verify/search/")
	w.mu.Lock()
	defer w.mu.Unlock()
	if search {
		w.searches++
	}
	return provider(func(*http.Request) (int, string) {
		switch {
		case w.status != "":
			return http.StatusOK, `{"status":"` + w.status + `","error_text":"x"}`
		case search:
			return http.StatusOK, `{"status":"101","error_text":"No response found"}`
		}
		return http.StatusOK, `{"request_id":"cc121958d8fb4368","status":"0"}`
	}).RoundTrip(r)
}

// down is a provider that cannot be reached for as long as the twin's status is "down".
type down struct{ *twin }

func (d down) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	off := d.status == "down"
	if off && strings.HasPrefix(r.URL.Path, "/verify/search/") {
		d.searches++
	}
	d.mu.Unlock()
	if off {
		return nil, errors.New("no route")
	}
	return d.twin.RoundTrip(r)
}

// note writes down what an operator is told.
func (w *twin) note(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch d := e.Detail.(type) {
	case CircuitChanged:
		w.events = append(w.events, fmt.Sprintf("%s %s>%s elsewhere %t", d.Class, d.From, d.To, d.Elsewhere))
	case LimitChanged:
		w.events = append(w.events, fmt.Sprintf("%d>%d %s", d.From, d.To, d.Why))
	case AccountSuspended:
		w.events = append(w.events, fmt.Sprintf("%q>%q", d.From, d.To))
	}
}

// expect compares what has happened since the last time.
func (w *twin) expect(t *testing.T, searches int, events ...string) {
	t.Helper()
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.searches != searches || !slices.Equal(w.events, events) {
		t.Errorf("%d searches, and %q; want %d and %q", w.searches, w.events, searches, events)
	}
	w.searches, w.events = 0, nil
}

// newTwins returns two gateways of an account on one store.
func newTwins(t *testing.T) (a, b *twin) {
	t.Helper()
	keys, err := store.NewKeys("account", "a key of at least thirty-two characters")
	if err != nil {
		t.Fatal(err)
	}
	countries, err := country.NewList([]string{"GB"})
	if err != nil {
		t.Fatal(err)
	}
	memory := new(store.Memory)
	var twins []*twin
	for _, name := range []string{"a", "b"} {
		w := &twin{Store: memory.Open("account", name)}
		shared := store.NewShared(w, keys)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			shared.Run(ctx)
		}()
		t.Cleanup(func() {
			cancel()
			<-ended
		})
		w.settings = Settings{Countries: countries, Limit: limit.Settings{}, Shared: shared}
		account := NewAccount("provider.example", testKey, observe.NewMetrics(), &w.settings)
		t.Cleanup(account.Close)
		t.Cleanup(account.Configure(&w.settings))
		account.Subscribe(w.note)
		w.Gateway = newGateway(t, account, down{w}, "https://provider.example")
		twins = append(twins, w)
	}
	time.Sleep(time.Second)
	return twins[0], twins[1]
}

func (w *twin) check() {
	call(w.Gateway, "/verify/check/json", "request_id=cc121958d8fb4368&code=1234")
}

// TestThrottlingIsToldElsewhere has the provider throttle one gateway: both go slower, and
// nobody answers a hint by one.
func TestThrottlingIsToldElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTwins(t)
		rates := func(when string, want int) {
			t.Helper()
			time.Sleep(time.Millisecond)
			if one, two := a.Account.limiter.Stats().Rate, b.Account.limiter.Stats().Rate; one != want || two != want {
				t.Errorf("%s the rates are %d and %d, want %d", when, one, two, want)
			}
		}
		rates("at first", 28)
		a.set("1")
		a.check()
		a.set("")
		a.expect(t, 0, "28>14 status 1")
		b.expect(t, 0, "28>14 another gateway")
		rates("throttled", 14)
		time.Sleep(1500 * time.Millisecond)
		rates("later", 15)
		b.settings.Shared.Watch(func(store.Name) {}) // and should anything have changed:
		for _, w := range []*twin{a, b} {
			w.Account.hints.told(store.Name{})
		}
		rates("having looked again", 15)
		b.set("1")
		b.check()
		b.set("")
		rates("throttled again", 8)
		time.Sleep(30 * time.Second)
		rates("in the end", 28)
		a.expect(t, 0, "8>28 ")
		b.expect(t, 0, "8>28 ")
		if one, two := a.hints.Load(), b.hints.Load(); one != 1 || two != 1 {
			t.Errorf("%d and %d hints were left, want 1 each", one, two)
		}
	})
}

// TestCircuitIsToldElsewhere has a circuit open at one gateway: the other probes once, and
// believes what it sees.
func TestCircuitIsToldElsewhere(t *testing.T) {
	for _, both := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			a, b := newTwins(t)
			a.set("down")
			if both {
				b.set("down")
			}
			for range 5 {
				a.check()
			}
			a.expect(t, 0, "read closed>open elsewhere false")
			if both {
				b.expect(t, 1, "read closed>open elsewhere true")
			} else {
				b.expect(t, 1)
			}
			a.set("")
			b.set("")
			time.Sleep(6 * time.Second)
			a.expect(t, 1, "read open>half_open elsewhere false", "read half_open>closed elsewhere false")
			if both {
				b.expect(t, 1, "read open>half_open elsewhere false", "read half_open>closed elsewhere false")
			} else {
				b.expect(t, 0)
			}
			// An operator's word is for the gateway to which it is said.
			a.Account.HoldCircuit(wire.ReadClass)
			a.expect(t, 0, "read closed>open elsewhere false")
			b.expect(t, 0)
		})
	}
}

// TestSuspensionIsToldElsewhere has the provider refuse the credentials at one gateway: the
// other finds out by a search whether it refuses its own.
func TestSuspensionIsToldElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTwins(t)
		a.set("4")
		a.check()
		a.expect(t, 0, `"">"4"`)
		b.expect(t, 1) // it is none of b's
		a.set("")
		a.check()
		a.expect(t, 0, `"4">""`)
		b.expect(t, 0)

		time.Sleep(10 * time.Second)
		a.set("4")
		b.set("4")
		a.check()
		a.expect(t, 0, `"">"4"`)
		b.expect(t, 1, `"">"4"`)
		a.set("")
		b.set("")
		a.check()
		a.expect(t, 0, `"4">""`)
		b.expect(t, 1, `"4">""`)
	})
}

// TestHintsEnd shows that nobody is told once there is no store any more, or no account.
func TestHintsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTwins(t)
		last := b.Account.hints
		without := b.settings
		without.Shared = nil
		takeBack := b.Account.Configure(&without)
		a.set("1")
		a.check()
		b.expect(t, 0)
		synctest.Wait()
		select {
		case <-last.done:
		default:
			t.Error("the hints of before have not ended")
		}
		takeBack() // and with it again, what is known is looked at
		b.expect(t, 0, "28>14 another gateway")
	})
}
