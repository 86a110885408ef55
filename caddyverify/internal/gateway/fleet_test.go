package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// link is a way to the store that can be cut. deaf has what is asked be done, and the answer lost.
type link struct {
	store.Store
	away, deaf atomic.Bool
	mute       atomic.Bool  // logs are not read
	endless    atomic.Bool  // nothing can be told to have ended
	slow       atomic.Int64 // how long a Hold takes
	late       atomic.Int64 // how long every answer takes
}

var errLink = errors.New("cut")

func over[T any](l *link, f func() (T, error)) (T, error) {
	var none T
	if l.away.Load() {
		return none, errLink
	}
	time.Sleep(time.Duration(l.late.Load()))
	v, err := f()
	if l.deaf.Load() {
		return none, errLink
	}
	return v, err
}

func (l *link) Look(ctx context.Context, id store.Name, f store.Field) (store.Found, error) {
	return over(l, func() (store.Found, error) { return l.Store.Look(ctx, id, f) })
}

func (l *link) Before(ctx context.Context, id store.Name, m store.Mark, hold time.Duration) (store.Known, error) {
	return over(l, func() (store.Known, error) { return l.Store.Before(ctx, id, m, hold) })
}

func (l *link) Claim(ctx context.Context, k store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (store.Claim, error) {
	return over(l, func() (store.Claim, error) { return l.Store.Claim(ctx, k, m, says, lease, ttl) })
}

func (l *link) Answer(ctx context.Context, k store.Name, m store.Mark, v []byte, ttl time.Duration) (bool, error) {
	return over(l, func() (bool, error) { return l.Store.Answer(ctx, k, m, v, ttl) })
}

func (l *link) Begin(ctx context.Context, id store.Name, v []byte, ttl time.Duration) error {
	_, err := over(l, func() (bool, error) { return true, l.Store.Begin(ctx, id, v, ttl) })
	return err
}

func (l *link) Finish(ctx context.Context, id store.Name, m store.Mark, ttl time.Duration) (bool, error) {
	if l.endless.Load() {
		return false, errLink
	}
	return over(l, func() (bool, error) { return l.Store.Finish(ctx, id, m, ttl) })
}

func (l *link) Paid(ctx context.Context, id store.Name, m store.Mark, kind store.Field, amount int64, ttl time.Duration) (int64, error) {
	return over(l, func() (int64, error) { return l.Store.Paid(ctx, id, m, kind, amount, ttl) })
}

func (l *link) Hold(ctx context.Context, n store.Name, b store.Book) (store.Grant, error) {
	time.Sleep(time.Duration(l.slow.Load()))
	return over(l, func() (store.Grant, error) { return l.Store.Hold(ctx, n, b) })
}

func (l *link) Tell(ctx context.Context, n store.Name, entries [][]byte, most int, life time.Duration) error {
	_, err := over(l, func() (bool, error) { return true, l.Store.Tell(ctx, n, entries, most, life) })
	return err
}

func (l *link) Read(ctx context.Context, n store.Name, after store.Position, most int) ([]store.Entry, error) {
	if l.mute.Load() {
		return nil, errLink
	}
	return over(l, func() ([]store.Entry, error) { return l.Store.Read(ctx, n, after, most) })
}

// fleet is gateways of one account on one store. Each verification has a caller of its own, by
// whose name it is known in events.
type fleet struct {
	t       *testing.T
	store   store.Memory
	api     http.RoundTripper
	callers map[string]*caller.Caller
	deny    bool
	guard   guard.Settings
	host    string // of the provider
	all     []*member

	mu     sync.Mutex
	events []Event
}

type member struct {
	*Gateway
	fleet *fleet
	link  *link
}

// newFleet returns n gateways. It is to be called in a bubble.
func newFleet(t *testing.T, n int, api http.RoundTripper) *fleet {
	f := &fleet{t: t, api: api, callers: map[string]*caller.Caller{}, host: "provider.example"}
	for range n {
		f.join()
	}
	return f
}

// join starts one more.
func (f *fleet) join() *member {
	f.t.Helper()
	countries, err := country.NewList([]string{"GB"})
	if err != nil {
		f.t.Fatal(err)
	}
	keys, err := store.NewKeys("account", "an encryption key of 32 characters")
	if err != nil {
		f.t.Fatal(err)
	}
	m := &member{fleet: f, link: &link{Store: f.store.Open(keys.Account(), string(store.NewMark()))}}
	s := &Settings{Countries: countries, Limit: limit.Settings{Rate: -1}, Shared: store.NewShared(m.link, keys), DenyUnknown: f.deny, Guard: f.guard}
	a := NewAccount(f.host, testKey, observe.NewMetrics(), s)
	f.t.Cleanup(a.Close)
	f.t.Cleanup(a.Configure(s))
	a.Subscribe(func(e Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	})
	m.Gateway = newGateway(f.t, a, f.api, "https://provider.example")
	m.Caller = func(r *http.Request) (*caller.Caller, bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		name := r.Header.Get("Caller")
		if f.callers[name] == nil {
			f.callers[name] = &caller.Caller{Name: name}
		}
		return f.callers[name], true
	}
	f.all = append(f.all, m)
	return m
}

func (f *fleet) isolated(names ...string) {
	for _, name := range names {
		f.callers[name] = &caller.Caller{Name: name, Isolated: true}
	}
}

func (f *fleet) away(is bool) {
	for _, m := range f.all {
		m.link.away.Store(is)
	}
}

// call makes a caller's call, such as "check/json".
func (m *member) call(caller, path, form string) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/verify/"+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Caller", caller)
	m.ServeHTTP(w, r)
	return w.Body.String()
}

// start has a caller start a verification.
func (m *member) start(caller, number string) (id string) {
	m.fleet.t.Helper()
	body := m.call(caller, "json", "brand=Acme&number="+number)
	_, id, _ = strings.Cut(body, `"request_id":"`)
	if id, _, _ = strings.Cut(id, `"`); id == "" {
		m.fleet.t.Fatalf("nothing started: %s", body)
	}
	return id
}

func (m *member) check(caller, id, code string) string {
	return m.call(caller, "check/json", "request_id="+id+"&code="+code)
}

func (m *member) lookFor(caller, id string) string {
	return m.call(caller, "search/json", "request_id="+id)
}

// finished are the ends counted of a caller's verification; untracked all without a start.
func (f *fleet) finished(caller string) (all []VerificationFinished) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if d, ok := e.Detail.(VerificationFinished); ok && d.Caller == caller {
			all = append(all, d)
		}
	}
	return all
}

func (f *fleet) untracked() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range f.events {
		if _, ok := e.Detail.(UntrackedFinished); ok {
			n++
		}
	}
	return n
}

// paid is what a caller's verification has cost of a kind, as counted.
func (f *fleet) paid(caller string) map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := map[string]float64{}
	for _, e := range f.events {
		if d, ok := e.Detail.(CostLearned); ok && d.Caller == caller {
			sum[string(d.Kind)] += d.Amount
		}
	}
	return sum
}

// settled lets what goes on by itself be done: a store that was away is asked again after a
// second, and what others tell is looked up within another.
func settled() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// wantOnce expects an end to be counted once, with its labels, and nothing to be open any more.
func (f *fleet) wantOnce(caller string) {
	f.t.Helper()
	all := f.finished(caller)
	if len(all) != 1 || all[0].Country != "GB" || all[0].Workflow != "default" || all[0].Outcome != "success" {
		f.t.Errorf("the end is counted as %+v", all)
	}
	if n := f.untracked(); n != 0 {
		f.t.Errorf("%d ends are counted without a start", n)
	}
	for i, m := range f.all {
		if s := m.Account.Snapshot().Verifications; s.UnderWay != 0 || s.Unsettled != 0 {
			f.t.Errorf("gateway %d has %+v", i, s)
		}
	}
}
