package gateway

import (
	"iter"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/suspend"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Snapshot is all that the gateway knows of an account at a moment. Taking one changes
// nothing.
type Snapshot struct {
	// Account is its label, and Names are those that the configuration has for it.
	Account string
	Names   []string
	// Circuits are the breakers' states; none where they are off.
	Circuits []breaker.Snapshot
	// Troubles are what the upstream refuses the account for, one for each secret that it
	// refuses.
	Troubles []suspend.Trouble
	// Secrets are the ones in use: one for each secret, or pair of them, that its gateways
	// have.
	Secrets []wire.SecretName
	Limit   limit.Stats
	// Callers are those that share the limit.
	Callers []limit.CallerStats
	// Cache is what searches are answered from.
	Cache search.Stats
	// Verifications are those of the ledger, and Settling tells that the gateway asks for
	// their outcomes.
	Verifications ledger.Stats
	Settling      bool
	// Guard is what the guard has done, and GuardBlocks what it refuses at present; nil where no rule
	// is on.
	Guard       *guard.Status
	GuardBlocks []guard.Block
	// Budgets are the guard's, and Prices those that have turned out higher than the settings say.
	Budgets []guard.BudgetFigures
	Prices  []guard.LearnedPrice
	// States are of verifications of version 2; nil where there are none.
	States *state.Stats
	// Store is the one that gateways share; nil without one.
	Store *store.Stats
	// DeliveredAlone is how many calls were delivered without it, as it was away.
	DeliveredAlone uint64
}

// Snapshot takes one.
func (a *Account) Snapshot() Snapshot {
	s := Snapshot{
		Account:       a.label,
		Names:         a.inForce.Load().Names,
		Troubles:      a.troubles(),
		Limit:         a.limiter.Stats(),
		Callers:       a.limiter.Callers(),
		Cache:         a.cache.Stats(),
		Verifications: a.ledger.Stats(),
		Settling:      a.settlers.Load() > 0,
	}
	if !a.breakers.Off() {
		circuits := a.breakers.Snapshot()
		s.Circuits = circuits[:]
	}
	if a.atV2.Load() {
		s.States = new(a.states.Stats())
	}
	if a.guard.On() {
		s.Guard, s.GuardBlocks = new(a.guard.Status()), a.guard.Blocks()
		s.Budgets, s.Prices = a.guard.Budgets(), a.guard.Learned()
	}
	if shared := a.shared(); shared != nil {
		stats := shared.Stats()
		s.Store, s.DeliveredAlone = &stats, a.deduper.Alone()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, secrets := range a.secrets {
		s.Secrets = append(s.Secrets, secrets.inUse())
	}
	slices.Sort(s.Secrets)
	return s
}

// Suspended are the statuses for which the upstream refuses the account, each once.
func (s *Snapshot) Suspended() (all []wire.Status) {
	for _, trouble := range s.Troubles {
		if !slices.Contains(all, trouble.Status) {
			all = append(all, trouble.Status)
		}
	}
	return all
}

// troubles are those of all secrets, in the order of their statuses.
func (a *Account) troubles() (all []suspend.Trouble) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, secrets := range a.secrets {
		if trouble, in := secrets.Trouble(); in {
			all = append(all, trouble)
		}
	}
	slices.SortFunc(all, func(x, y suspend.Trouble) int { return strings.Compare(string(x.Status), string(y.Status)) })
	return all
}

// Collector makes metrics of accounts' snapshots.
type Collector struct{ Accounts iter.Seq[*Account] }

// Describe implements prometheus.Collector.
func (Collector) Describe(to chan<- *prometheus.Desc) { observe.DescribeState(to) }

// Collect implements prometheus.Collector.
func (c Collector) Collect(to chan<- prometheus.Metric) {
	states := map[string]*observe.State{} // two accounts may have the same label
	for account := range c.Accounts {
		s := account.Snapshot()
		if states[s.Account] == nil {
			states[s.Account] = observe.NewState(s.Account)
		}
		s.addTo(states[s.Account])
	}
	for _, state := range states {
		state.Collect(to)
	}
}

// partOfLimit is what all gateways' add up from.
func (s *Snapshot) partOfLimit() float64 {
	switch {
	case s.Limit.Alone:
		return float64(s.Limit.Share)
	case s.Store == nil || s.Store.Gateways == 0:
		return float64(s.Limit.Rate)
	}
	return float64(s.Limit.Rate) / float64(s.Store.Gateways)
}

func (s *Snapshot) addTo(state *observe.State) {
	for _, circuit := range s.Circuits {
		state.Circuits[observe.Circuit{Class: circuit.Class, State: circuit.State}]++
	}
	for _, status := range s.Suspended() {
		state.Suspended[status] = true
	}
	for _, secret := range s.Secrets {
		state.Secrets[secret] = true
	}
	state.CacheEntries += s.Cache.Entries
	state.CacheBytes += s.Cache.Bytes
	state.EvictedSize += s.Cache.EvictedSize
	state.EvictedExpired += s.Cache.EvictedExpired
	state.LimitRate += s.partOfLimit()
	state.LimitWaiting += s.Limit.Waiting
	state.UnderWay += s.Verifications.UnderWay
	state.Unsettled += s.Verifications.Unsettled
	if s.Store != nil {
		state.Store = append(state.Store, *s.Store)
		state.StoreHits += s.Cache.SharedHits
		state.StoreDrops += s.Cache.SharedDrops
		state.DeliveredAlone += s.DeliveredAlone
	}
	s.addGuard(state)
	if s.States != nil {
		state.AtV2 = true
		state.Missed += s.States.Missed
		state.Unread += s.States.Unread
	}
	if s.Settling {
		state.SettlerBacklog += s.Verifications.Unsettled
	}
}

// millionths are those of a unit of money.
const millionths = 1e6

func (s *Snapshot) addGuard(state *observe.State) {
	if s.Guard == nil {
		return
	}
	for _, b := range s.Budgets {
		of := observe.Budget{Name: b.Name, Currency: b.Cap.Currency}
		f := state.Budgets[of]
		f.Settled += float64(b.Settled.Micro) / millionths
		f.Reserved += float64(b.Reserved.Micro) / millionths
		f.Cap += float64(b.Cap.Micro) / millionths
		state.Budgets[of] = f
	}
	for _, rule := range guard.Rules() {
		t := s.Guard.Tallies[rule]
		for refused, micro := range map[bool]int64{true: t.Saved, false: t.WouldSave} {
			if micro > 0 {
				state.Saved[observe.Saved{Rule: rule.String(), Currency: s.Guard.Currency, Refused: refused}] += float64(micro) / millionths
			}
		}
		if t.Regretted > 0 {
			state.Regrets[rule.String()] += t.Regretted
		}
	}
}
