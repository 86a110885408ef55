package caddyverify

import (
	"crypto/rand"
	"encoding/hex"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/retry"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
)

// accountID names an account: an API key at one upstream.
type accountID struct{ upstream, apiKey string }

// label is how logs and metrics tell accounts apart.
func (id accountID) label() string {
	host := id.upstream
	if u, err := url.Parse(id.upstream); err == nil {
		host = u.Host
	}
	return observe.AccountLabel(host, id.apiKey)
}

// account is what the gateway knows and has under way of one account, for all
// handlers that use it. It survives a reload, whatever changes: the configuration
// that is in force changes its settings.
type account struct {
	label    string // in logs and metrics
	metrics  *observe.AccountMetrics
	cache    *search.Cache
	breakers *breaker.Pair
	limiter  *limit.Limiter
	deduper  *delivery.Deduper
	retries  *retry.Budget
	book     *book

	stop, stopped chan struct{} // of advance

	inForce atomic.Pointer[accountSettings]

	mu         sync.Mutex
	configured []*accountSettings
}

// newAccount returns an account that nobody uses yet, with goroutines that end stops.
// The settings are expected to be valid.
func newAccount(id accountID, s *accountSettings) *account {
	label := id.label()
	a := &account{
		label:    label,
		metrics:  metrics.Account(label),
		cache:    search.New(s.search()),
		breakers: breaker.NewPair(s.circuits()),
		limiter:  limit.New(s.limits()),
		deduper:  delivery.New(),
		retries:  retry.NewBudget(),
		book:     &book{Ledger: ledger.New(ledger.Settings{})},
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	a.apply(s)
	go a.advance(a.book.Ledger)
	return a
}

// prepare puts settings in force where no configuration is yet.
func (a *account) prepare(s *accountSettings) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.configured) == 0 {
		a.apply(s)
	}
}

// configure puts the settings of a configuration in force until they are taken back.
// Of several, those that came last are in force: on a reload the next configuration
// comes before the last one goes.
func (a *account) configure(s *accountSettings) (takeBack func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.configured = append(a.configured, s)
	a.apply(s)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.configured = slices.DeleteFunc(a.configured, func(other *accountSettings) bool { return other == s })
		if n := len(a.configured); n > 0 {
			a.apply(a.configured[n-1])
		}
	}
}

// apply changes the settings. The caller holds a.mu, or has made the account.
func (a *account) apply(s *accountSettings) {
	if a.inForce.Swap(s) == s {
		return
	}
	a.cache.Configure(s.search())
	a.breakers.Configure(s.circuits())
	a.limiter.Configure(s.limits())
}

// end is called when no handler has the account any more. Calls of the last one may
// still be under way.
func (a *account) end() {
	close(a.stop)
	<-a.stopped
	a.cache.Close()
	metrics.Drop(a.metrics)
}

// advanceEvery is how often the ledger is told that time has passed.
const advanceEvery = time.Second

// advance keeps the ledger up to the present, until end. Metrics do not wait for a
// scrape to learn what has been given up.
func (a *account) advance(l *ledger.Ledger) {
	defer close(a.stopped)
	ticker := time.NewTicker(advanceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-a.stop:
			return
		case <-ticker.C:
			a.tally(l.Advance())
		}
	}
}

// searchesKept returns the cache, or nil where none is to be used.
func (a *account) searchesKept() *search.Cache {
	if a.inForce.Load().cache.Off {
		return nil
	}
	return a.cache
}

// circuits returns the breakers, or nil where none are to be used.
func (a *account) circuits() *breaker.Pair {
	if a.inForce.Load().breaker.Off {
		return nil
	}
	return a.breakers
}

// forget drops what memory knows of a verification.
func (a *account) forget(requestID string) {
	a.deduper.Forget(requestID)
	a.cache.Drop(requestID)
}

// unusedID makes up a request_id that no verification has.
func unusedID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}
