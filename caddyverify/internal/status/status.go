// Package status is what an operator is told of the gateway: the documents of the admin
// API, which the command line and the live page show, too. No number, code or secret has
// a place in them.
package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Status is the answer to GET /verify/accounts.
type Status struct {
	// Version is the module's, and Go that of the Go that it was built with.
	Version string `json:"version"`
	Go      string `json:"go"`
	// Time is when this was so.
	Time     time.Time `json:"time"`
	Accounts []Account `json:"accounts"`
}

// State is how an account is, in one word.
type State string

// The states.
const (
	OK       State = "ok"
	Degraded State = "degraded" // some calls are refused, or come slower than they might
	Down     State = "down"     // no verification can be started
)

// Account is the answer to GET /verify/accounts/{account}.
type Account struct {
	// Account is the value of the metrics' label account, and Names those that the
	// configuration has for it.
	Account string   `json:"account"`
	Names   []string `json:"names,omitempty"`
	State   State    `json:"state"`
	// Summary is a sentence that says how it is, and why.
	Summary string `json:"summary"`
	// Circuits are the breakers'; none where they are off.
	Circuits []Circuit `json:"circuits"`
	// Troubles are what the provider refuses the account for; none is the rule.
	Troubles []Trouble `json:"troubles"`
	// Secrets are those in use: first, next, or both where sites differ.
	Secrets       []wire.SecretName `json:"secrets"`
	Limit         Limit             `json:"limit"`
	Cache         Cache             `json:"cache"`
	Verifications Verifications     `json:"verifications"`
	// Store is what gateways share; absent without one.
	Store *Store `json:"store,omitempty"`
	// Guard is what keeps verifications from being started; absent where no rule is on.
	Guard *Guard `json:"guard,omitempty"`
	// Hour is what happened within the last hour, or since the gateway began, if that is
	// less.
	Hour Window `json:"hour"`
}

// Circuit is a circuit breaker.
type Circuit struct {
	// Breaker is what it is for: read (check, search) or write (request, psd2, control).
	Breaker wire.Class        `json:"breaker"`
	State   wire.CircuitState `json:"state"`
	// Why names what opened it: a cause as in docs/failures.md, a status, or operator.
	Why string `json:"why,omitempty"`
	// Since is when it opened or closed last, absent where it has been closed from the
	// beginning. Until is when it is probed next, if that is known.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Held tells that an operator keeps it open.
	Held bool `json:"held,omitempty"`
}

// Trouble is what the provider refuses the account for.
type Trouble struct {
	// Status is 4 (credentials), 8 (barred) or 9 (no credit).
	Status wire.Status `json:"status"`
	Since  time.Time   `json:"since"`
	// Until is when it is tried again.
	Until time.Time `json:"until"`
}

// Limit is the account's rate limit.
type Limit struct {
	// Rate is how many calls a second may be made at present; 0 for no limit.
	Rate int `json:"rate"`
	// Throttled tells that this is less than configured, as the provider found the calls
	// too many.
	Throttled bool `json:"throttled"`
	// SearchRate is how many searches a second may be made at present, by a limit of their
	// own; 0 for none. SearchThrottled tells that the provider found the searches too many.
	SearchRate      int  `json:"search_rate,omitempty"`
	SearchThrottled bool `json:"search_throttled,omitempty"`
	// Waiting is how many calls wait for their turn.
	Waiting int `json:"waiting"`
	// Callers are those that the configuration names or that called of late.
	Callers []LimitCaller `json:"callers"`
}

// LimitCaller is a caller's part of the limit.
type LimitCaller struct {
	// Caller is empty for all that nobody knows.
	Caller  string `json:"caller"`
	Waiting int    `json:"waiting"`
	// Lately is how many calls it has made within the last second or so.
	Lately int `json:"lately"`
	Weight int `json:"weight"`
	// Rate is its own limit; 0 for none.
	Rate int `json:"rate"`
}

// Cache is what searches are answered from. The counts are since the account is in use.
type Cache struct {
	Entries   int64  `json:"entries"`
	Bytes     int64  `json:"bytes"`
	Hits      uint64 `json:"hits"`
	Misses    uint64 `json:"misses"`
	Coalesced uint64 `json:"coalesced"`
	Stale     uint64 `json:"stale"`
}

// Verifications are those that the gateway has seen begin.
type Verifications struct {
	// UnderWay can still be verified, Unsettled have run out, and how is not known; Kept
	// are all that are remembered.
	UnderWay  int `json:"under_way"`
	Unsettled int `json:"unsettled"`
	Kept      int `json:"kept"`
	// Settling tells that the gateway asks for their outcomes.
	Settling bool `json:"settling"`
}

// Store is what the gateways of the account share. The counts are since the account is in
// use.
type Store struct {
	// Away tells that it does not answer, and that the gateway goes on alone, Since when, and
	// Why.
	Away  bool      `json:"away"`
	Since time.Time `json:"since,omitzero"`
	Why   string    `json:"why,omitempty"`
	// Gateways is how many share it, as was heard last; this one among them.
	Gateways int `json:"gateways"`
	// Calls is how many were made, Failed how many of them brought no answer in time, and
	// Skipped how many were not made, since it was away.
	Calls   uint64 `json:"calls"`
	Failed  uint64 `json:"failed"`
	Skipped uint64 `json:"skipped"`
	// Hits is how many verifications searches found in it, and Drops how many entries memory
	// dropped since another gateway made a check or control.
	Hits  uint64 `json:"hits"`
	Drops uint64 `json:"drops"`
	// DeliveredAlone is how many requests, checks and controls were delivered without it.
	DeliveredAlone uint64 `json:"delivered_alone"`
	// AwaySeconds is how long it was away, all in all.
	AwaySeconds float64 `json:"away_seconds"`
}

func storeOf(all *gateway.Snapshot) *Store {
	s := all.Store
	if s == nil {
		return nil
	}
	of := &Store{
		Gateways: s.Gateways, Calls: s.Calls, Failed: s.Failed, Skipped: s.Alone, AwaySeconds: s.AwayFor.Seconds(),
		Hits: all.Cache.SharedHits, Drops: all.Cache.SharedDrops, DeliveredAlone: all.DeliveredAlone,
	}
	if !s.Away.IsZero() {
		of.Away, of.Since = true, s.Away.UTC()
	}
	if s.Why != nil {
		of.Why = s.Why.Error()
	}
	return of
}

// Of returns the account's status.
func Of(a *gateway.Account) Account {
	s := a.Snapshot()
	account := Account{
		Account:  s.Account,
		Names:    s.Names,
		Circuits: []Circuit{},
		Troubles: []Trouble{},
		Secrets:  s.Secrets,
		Limit: Limit{
			Rate: s.Limit.Rate, Throttled: s.Limit.Rate < s.Limit.Full,
			SearchRate: s.Limit.SearchRate, SearchThrottled: s.Limit.SearchRate < s.Limit.SearchFull,
			Waiting: s.Limit.Waiting, Callers: []LimitCaller{},
		},
		Cache: Cache{
			Entries: s.Cache.Entries, Bytes: s.Cache.Bytes,
			Hits: s.Cache.Hits, Misses: s.Cache.Misses, Coalesced: s.Cache.Coalesced, Stale: s.Cache.Stale,
		},
		Verifications: Verifications{
			UnderWay: s.Verifications.UnderWay, Unsettled: s.Verifications.Unsettled, Kept: s.Verifications.Entries, Settling: s.Settling,
		},
		Store: storeOf(&s),
		Guard: guardOf(&s),
		Hour:  WindowOf(a.History().Total(history.Hour)),
	}
	for _, c := range s.Circuits {
		account.Circuits = append(account.Circuits, circuitOf(c))
	}
	for _, t := range s.Troubles {
		account.Troubles = append(account.Troubles, Trouble{Status: t.Status, Since: t.Since.UTC(), Until: t.Until.UTC()})
	}
	for _, c := range s.Callers {
		account.Limit.Callers = append(account.Limit.Callers, LimitCaller{
			Caller: c.Name, Waiting: c.Waiting, Lately: c.Lately, Weight: c.Weight, Rate: c.Rate,
		})
	}
	lately := a.History().Lately()
	account.State, account.Summary = account.summary(time.Now(), &lately)
	return account
}

func circuitOf(c breaker.Snapshot) Circuit {
	circuit := Circuit{Breaker: c.Class, State: c.State, Why: c.Why, Held: c.Held}
	if !c.Since.IsZero() {
		circuit.Since = c.Since.UTC()
	}
	if !c.Until.IsZero() {
		circuit.Until = c.Until.UTC()
	}
	return circuit
}

// Sort puts accounts into the order of their labels, and those of one label into that of
// their names.
func Sort(accounts []Account) {
	slices.SortFunc(accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), slices.Compare(a.Names, b.Names))
	})
}
