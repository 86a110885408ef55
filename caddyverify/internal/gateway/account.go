package gateway

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/country"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/lease"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/retry"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Settings are what a configuration wants of an account.
type Settings struct {
	Cache search.Settings
	// CacheOff sends every search upstream.
	CacheOff  bool
	Breaker   breaker.Settings
	Limit     limit.Settings
	Countries country.List
	// Guard is what starts are refused for.
	Guard guard.Settings
	// Record is where the guard's starts are written down; nil for nowhere.
	Record *Record
	// Callers are the names that the configuration has for callers; none where it has no
	// such thing.
	Callers []string
	// Names are those that the configuration has for the account, if it has any.
	Names []string
	// Shared is what other gateways know of the account, too; nil where there is no store.
	Shared *store.Shared
	// DenyUnknown has an isolated caller's verification be nobody's while the store is away and
	// cannot say whose it is. Otherwise it is as if he had started it.
	DenyUnknown bool
}

// Account is what the gateway knows and has under way of one API key at one upstream,
// for all Gateways that use it. It survives a reload, whatever changes: the
// configuration that is in force changes its settings. Make it with NewAccount.
type Account struct {
	label    string
	host     string // of the upstream, in logs
	identity string // the same in all gateways, and no other account's
	metrics  *observe.AccountMetrics
	cache    *search.Cache
	breakers *breaker.Pair
	limiter  *limit.Limiter
	deduper  *delivery.Deduper
	retries  *retry.Budget
	ledger   *ledger.Ledger
	methods  upstream.Methods
	live     upstream.Live // the secrets
	signers  signers
	relays   *relays // of webhooks
	seen     *webhook.Seen
	events   event.Notifier[Event]
	history  *history.History
	notices  notices
	hits     uint64       // of the cache, as of the last tick
	alone    time.Time    // since when the store is away, as of the last tick
	salt     [32]byte     // see standInFor
	settlers atomic.Int32 // two for the moment of a reload
	// wentAlong tells that a list has had room for what the settler wants to know, since it last
	// looked.
	wentAlong atomic.Bool
	inForce   atomic.Pointer[Settings]
	books     books
	hints     *hints // guarded by configuring
	guard     *guard.Guard
	states    *state.Book               // of verifications of version 2
	atV2      atomic.Bool               // verifications may start there
	prices    prices                    // to be asked for
	estimates prices                    // of ends that this gateway has counted, alone of all
	recording atomic.Pointer[recording] // nil where none is kept

	guardShared guardSharing

	choosing sync.Mutex // see Gateway.choosing

	stop, stopped chan struct{}
	end           func()

	// configuring guards configured, sharing and unwatch. What is told of while it is held may ask about the
	// account, which takes mu.
	configuring sync.Mutex
	configured  []*Settings
	sharing     *store.Shared // what the ledger shares
	unwatch     func()        // nil without it

	mu      sync.Mutex
	pending []Detail               // to be told of with the next tick
	loggers lease.Newest[*Gateway] // in force
	// secrets are what is known of each secret, or pair of them: a new one begins without
	// the trouble of the last.
	secrets map[[32]byte]*secrets
}

// NewAccount returns the account of an API key at an upstream's host that nobody uses
// yet, and begins what Close ends. The settings are expected to be valid.
func NewAccount(host, apiKey string, metrics *observe.Metrics, s *Settings) *Account {
	label := observe.AccountLabel(host, apiKey)
	a := &Account{
		label:    label,
		host:     host,
		identity: fmt.Sprintf("%x", sha256.Sum256([]byte(host+" "+apiKey))),
		metrics:  metrics.Account(label),
		cache:    search.New(s.Cache),
		breakers: breaker.NewPair(s.Breaker),
		limiter:  limit.New(s.Limit),
		deduper:  delivery.New(),
		retries:  retry.NewBudget(),
		ledger:   ledger.New(ledger.Settings{}),
		guard:    guard.New(guard.Settings{}),
		states:   state.New(state.Settings{}),
		history:  history.New(),
		seen:     webhook.NewSeen(),
		secrets:  map[[32]byte]*secrets{},
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	_, _ = rand.Read(a.salt[:]) // never fails
	a.relays = newRelays(a)
	a.cache.Fill = a.settleAlong
	a.cache.Unchanged = a.unchanged
	a.cache.Own = a.states.Own
	a.cache.OnStale = func() { a.broken(wire.FreshState, true) }
	a.end = sync.OnceFunc(func() {
		close(a.stop)
		<-a.stopped
		a.configuring.Lock()
		if a.unwatch != nil {
			a.unwatch()
			a.unwatch = nil
		}
		a.configuring.Unlock()
		a.relays.close()
		a.books.close()
		a.guardShared.close() // which knows the last ends
		a.configuring.Lock()
		a.recordTo(nil)
		a.configuring.Unlock()
		a.estimateAll() // also the last ends
		a.cache.Close()
		metrics.Drop(a.metrics)
	})
	a.apply(s)
	a.Subscribe(a.count)
	a.Subscribe(a.log)
	a.Subscribe(a.remember)
	a.breakers.OnChange(func(c breaker.Change) { a.publish(CircuitChanged(c)) })
	a.limiter.OnChange(func(c limit.Change) { a.publish(LimitChanged(c)) })
	a.guard.OnChange(func(c guard.Change) { a.publish(GuardChanged(c)) })
	go a.tick()
	return a
}

// Close ends what goes on by itself. It is called when no Gateway has the account any
// more; calls of the last one may still be under way.
func (a *Account) Close() { a.end() }

// tick is the ledger's clock.
func (a *Account) tick() {
	defer close(a.stopped)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-a.stop:
			a.publishPending()
			return
		case <-ticker.C:
			a.publishEvents(context.Background(), a.ledger.Advance())
			a.guard.Advance()
			a.books.tick()
			a.estimateDue()
			a.states.Retell(context.Background())
			a.publishPending()
			a.watchStore()
			a.gauge()
		}
	}
}

// Prepare puts settings in force where no configuration is yet.
func (a *Account) Prepare(s *Settings) {
	a.configuring.Lock()
	defer a.configuring.Unlock()
	if len(a.configured) == 0 {
		a.apply(s)
	}
}

// Configure puts the settings of a configuration in force until they are taken back. Of
// several, those that came last are in force: on a reload the next configuration comes
// before the last one goes.
func (a *Account) Configure(s *Settings) (takeBack func()) {
	a.metrics.Prepare(s.Countries.Labels(), s.Callers)
	a.configuring.Lock()
	defer a.configuring.Unlock()
	a.configured = append(a.configured, s)
	a.apply(s)
	a.publishLater(ConfigurationInForce{})
	return func() {
		a.configuring.Lock()
		defer a.configuring.Unlock()
		a.configured = slices.DeleteFunc(a.configured, func(other *Settings) bool { return other == s })
		if n := len(a.configured); n > 0 {
			a.apply(a.configured[n-1])
		}
	}
}

// apply changes the settings. The caller holds a.configuring, or has made the
// account.
func (a *Account) apply(s *Settings) {
	if a.inForce.Swap(s) == s {
		return
	}
	a.cache.Configure(s.Cache)
	a.cache.Share(s.Shared)
	a.deduper.Share(s.Shared)
	a.limiter.Share(s.Shared)
	a.share(s.Shared)
	a.states.Share(s.Shared)
	a.hintBy(s.Shared)
	a.breakers.Configure(s.Breaker)
	a.limiter.Configure(s.Limit)
	a.guardBy(s.Shared) // before there are budgets, none of which is to be this gateway's alone
	if a.guard.Configure(s.Guard); a.guard.On() {
		a.metrics.PrepareGuard(guard.ChangeKinds())
	}
	a.recordTo(s.Record)
}

// logBy has the account's changes logged by a gateway. Of several it is the newest, since
// each change is one line.
func (a *Account) logBy(g *Gateway) (stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	logger := a.loggers.Add(g)
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.loggers.Remove(logger)
	}
}

// forget drops what memory knows of the verification that a check or control is about.
func (a *Account) forget(call *wire.Call) {
	if id := call.RequestID(); id != "" {
		a.deduper.Forget(id)
		a.cache.Drop(id)
	}
}
