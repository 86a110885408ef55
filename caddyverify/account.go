package caddyverify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/retry"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// account is what the gateway knows and has under way of one account at one
// upstream. All of it survives a reload, each part as long as its settings stay.
type account struct {
	cache    *search.Cache // nil when off
	caches   *caches       // that one, and those of the account's other handlers
	breakers *breaker.Pair // nil when off
	trouble  *breaker.Account
	limiter  *limit.Limiter
	office   *delivery.Office
	retries  *retry.Budget
	book     *book
}

// The keys of an account's parts in state. Two accounts never share one.
type (
	accountID struct{ upstream, apiKey string }
	cacheKey  struct {
		accountID
		search.Settings
	}
	cachesKey  struct{ accountID }
	breakerKey struct {
		accountID
		breaker.Settings
	}
	limiterKey struct{ accountID }
	officeKey  struct{ accountID }
	retriesKey struct{ accountID }
	bookKey    struct{ accountID }
	troubleKey struct {
		accountID
		// A new secret begins without the trouble of the last one.
		secret [32]byte
	}
)

// keepAccount finds or makes the parts of the handler's account.
func (h *Handler) keepAccount(id accountID, secret upstream.Secret) error {
	timeout := time.Duration(h.Timeout)
	limits := limit.Settings{Rate: h.Limit}
	if err := limits.Validate(); err != nil {
		return err
	}
	circuits := h.Breaker.settings(timeout)
	if err := circuits.Validate(); err != nil {
		return fmt.Errorf("breaker: %w", err)
	}
	if err := h.Cache.validate(); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	all := keep(h, cachesKey{id}, func() *caches { return new(caches) }, nothing)
	h.account.caches = all
	if !h.Cache.Off {
		settings := h.Cache.settings(timeout)
		h.account.cache = keep(h, cacheKey{id, settings}, func() *search.Cache { return all.begin(settings) }, all.end)
	}
	h.account.limiter = keep(h, limiterKey{id}, func() *limit.Limiter { return limit.New(limits) }, nothing)
	h.stops = append(h.stops, h.account.limiter.Configure(limits))
	h.account.office = keep(h, officeKey{id}, delivery.New, nothing)
	h.account.retries = keep(h, retriesKey{id}, retry.NewBudget, nothing)
	h.account.book = keep(h, bookKey{id}, func() *book { return &book{Ledger: ledger.New(ledger.Settings{})} }, nothing)
	h.account.trouble = keep(h, troubleKey{id, secret.Sum()}, func() *breaker.Account { return new(breaker.Account) }, nothing)
	h.stops = append(h.stops, h.account.trouble.OnChange(h.troubleChanged))
	if !h.Breaker.Off {
		h.account.breakers = keep(h, breakerKey{id, circuits}, func() *breaker.Pair { return breaker.NewPair(circuits) }, nothing)
		h.stops = append(h.stops, h.account.breakers.OnChange(h.breakerChanged), h.account.breakers.ProbeWith(h.probe))
	}
	if h.Settle {
		h.beginToSettle()
	}
	return nil
}

// caches are all those of an account: of one handler, of others in the same
// configuration, and during a reload of the last one.
type caches struct {
	mu  sync.Mutex
	all atomic.Pointer[[]*search.Cache] // replaced, never changed
}

func (c *caches) begin(settings search.Settings) *search.Cache {
	cache := search.New(settings)
	c.replace(func(all []*search.Cache) []*search.Cache { return append(all, cache) })
	return cache
}

// end keeps the counts of a cache that ends.
func (c *caches) end(cache *search.Cache) {
	c.replace(func(all []*search.Cache) []*search.Cache {
		return slices.DeleteFunc(all, func(other *search.Cache) bool { return other == cache })
	})
	stats := cache.Stats()
	metrics.Evicted(stats.EvictedSize, stats.EvictedExpired)
	cache.Close()
}

func (c *caches) replace(change func(copied []*search.Cache) []*search.Cache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := change(slices.Clone(c.list()))
	c.all.Store(&all)
}

func (c *caches) list() []*search.Cache {
	if all := c.all.Load(); all != nil {
		return *all
	}
	return nil
}

// drop forgets a verification.
func (c *caches) drop(requestID string) {
	for _, cache := range c.list() {
		cache.Drop(requestID)
	}
}

// nothing ends a part that holds nothing but memory.
func nothing[T any](T) {}

// unusedID makes up a request_id that no verification has.
func unusedID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

func (h *Handler) breakerChanged(change breaker.Change) {
	metrics.Transition(change.Class.String(), change.From.String(), change.To.String())
	attrs := []slog.Attr{
		slog.String("breaker", change.Class.String()),
		slog.String("from", change.From.String()),
		slog.String("to", change.To.String()),
		slog.String("why", change.Why),
	}
	if change.To == breaker.Open {
		attrs = append(attrs, slog.Duration("open_for", change.OpenFor))
	}
	if change.Outcomes > 0 {
		attrs = append(attrs, slog.Int("failures", change.Failures), slog.Int("outcomes", change.Outcomes))
	}
	h.logger.LogAttrs(context.Background(), slog.LevelWarn, "breaker changed", attrs...)
}

func (h *Handler) troubleChanged(change breaker.AccountChange) {
	h.logger.LogAttrs(context.Background(), slog.LevelWarn, "account trouble changed",
		slog.String("from", string(change.From)), slog.String("to", string(change.To)))
}
