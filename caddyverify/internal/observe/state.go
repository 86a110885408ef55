package observe

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Circuit is a circuit breaker in one of its states.
type Circuit struct {
	Class wire.Class
	State wire.CircuitState
}

// State is what the gateway holds of an account at the moment of a scrape. It has a
// value for every series from the beginning. Make it with NewState.
type State struct {
	Account                             string // its label
	Suspended                           map[wire.Status]bool
	Secrets                             map[wire.SecretName]bool // in use
	Circuits                            map[Circuit]int
	CacheEntries, CacheBytes            int64
	EvictedSize, EvictedExpired         uint64
	LimitRate                           float64
	LimitWaiting                        int
	UnderWay, Unsettled, SettlerBacklog int
	// Store are those that gateways share; none without one.
	Store []store.Stats
	// What became of calls with and without it.
	StoreHits, StoreDrops, DeliveredAlone uint64
	// AtV2 tells that there are Missed and Unread: verifications of version 2 of which nothing is
	// known, and those of which the store could not say.
	AtV2           bool
	Missed, Unread uint64
	// Budgets are the guard's, Saved what it has kept from being spent, and Regrets of how many
	// starts, by rule, the number was verified later on; none without a guard.
	Budgets map[Budget]BudgetFigures
	Saved   map[Saved]float64
	Regrets map[string]uint64
}

// Budget is one of the guard's.
type Budget struct{ Name, Currency string }

// BudgetFigures are in units of the currency.
type BudgetFigures struct{ Settled, Reserved, Cap float64 }

// Saved is what a rule has refused or, in monitor, would have.
type Saved struct {
	Rule, Currency string
	Refused        bool
}

// NewState returns the State of an account of which nothing is held.
func NewState(account string) *State {
	return &State{Account: account, Suspended: map[wire.Status]bool{}, Secrets: map[wire.SecretName]bool{}, Circuits: map[Circuit]int{}, Budgets: map[Budget]BudgetFigures{}, Saved: map[Saved]float64{}, Regrets: map[string]uint64{}}
}

// descriptions of the metrics that are made of a State.
var descriptions = func() map[string]*prometheus.Desc {
	all := map[string]*prometheus.Desc{}
	for _, m := range []Metric{
		breakerState, accountTrouble, secretInUse, limitRate, limitWaiting,
		cacheEntries, cacheBytes, cacheEvictions, unknownTotal, underWay, unsettled, settlerBacklog,
		storeUp, storeGateways, storeCalls, storeHits, storeDrops, storeUnasked, storeAway,
		guardSaved, guardRegrets, budgetSettled, budgetReserved, budgetCap,
	} {
		all[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.labelNames(), nil)
	}
	return all
}()

// DescribeState sends the descriptions, for a prometheus.Collector.
func DescribeState(to chan<- *prometheus.Desc) {
	for _, description := range descriptions {
		to <- description
	}
}

func (s *State) collectGuard(send func(m Metric, value float64, labels ...string)) {
	for saved, amount := range s.Saved {
		send(guardSaved, amount, saved.Rule, guardAction(saved.Refused), saved.Currency)
	}
	for rule, starts := range s.Regrets {
		send(guardRegrets, float64(starts), rule)
	}
	for budget, figures := range s.Budgets {
		send(budgetSettled, figures.Settled, budget.Name, budget.Currency)
		send(budgetReserved, figures.Reserved, budget.Name, budget.Currency)
		send(budgetCap, figures.Cap, budget.Name, budget.Currency)
	}
}

// Collect sends the metrics, for a prometheus.Collector.
func (s *State) Collect(to chan<- prometheus.Metric) {
	send := func(m Metric, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if m.Type == "counter" {
			kind = prometheus.CounterValue
		}
		to <- prometheus.MustNewConstMetric(descriptions[m.Name], kind, value, append([]string{s.Account}, labels...)...)
	}
	for _, class := range wire.Classes {
		for _, state := range wire.CircuitStates {
			send(breakerState, float64(s.Circuits[Circuit{class, state}]), string(class), string(state))
		}
	}
	for _, status := range []wire.Status{wire.BadCredentials, wire.AccountBarred, wire.NoCredit} {
		value := 0.0
		if s.Suspended[status] {
			value = 1
		}
		send(accountTrouble, value, string(status))
	}
	for _, secret := range wire.SecretNames {
		value := 0.0
		if s.Secrets[secret] {
			value = 1
		}
		send(secretInUse, value, string(secret))
	}
	send(limitRate, s.LimitRate)
	send(limitWaiting, float64(s.LimitWaiting))
	send(cacheEntries, float64(s.CacheEntries))
	send(cacheBytes, float64(s.CacheBytes))
	send(cacheEvictions, float64(s.EvictedSize), "size")
	send(cacheEvictions, float64(s.EvictedExpired), "expired")
	send(underWay, float64(s.UnderWay))
	send(unsettled, float64(s.Unsettled))
	send(settlerBacklog, float64(s.SettlerBacklog))
	s.collectGuard(send)
	if s.AtV2 {
		send(unknownTotal, float64(s.Missed), "begun_elsewhere")
		send(unknownTotal, float64(s.Unread), "store_away")
	}
	if len(s.Store) > 0 {
		up, all := 1.0, store.Stats{}
		for _, one := range s.Store {
			if !one.Away.IsZero() {
				up = 0
			}
			all.Gateways = max(all.Gateways, one.Gateways)
			all.Calls += one.Calls
			all.Failed += one.Failed
			all.Alone += one.Alone
			all.AwayFor += one.AwayFor
		}
		send(storeUp, up)
		send(storeGateways, float64(all.Gateways))
		send(storeCalls, float64(all.Calls-all.Failed), "answered")
		send(storeCalls, float64(all.Failed), "failed")
		send(storeCalls, float64(all.Alone), "skipped")
		send(storeHits, float64(s.StoreHits))
		send(storeDrops, float64(s.StoreDrops))
		send(storeUnasked, float64(s.DeliveredAlone))
		send(storeAway, all.AwayFor.Seconds())
	}
}
