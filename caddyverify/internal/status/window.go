package status

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Window is what happened within some time that ends now.
type Window struct {
	// Calls are those of clients, by operation.
	Calls map[string]Calls `json:"calls"`
	// Trouble is how many of them were answered 1, 4, 5, 8 or 9.
	Trouble uint32 `json:"trouble"`
	// Upstream is what was asked of the provider.
	Upstream Upstream `json:"upstream"`
	// Requested are calls that would start a verification, Started those that did.
	Requested uint32 `json:"requested"`
	Started   uint32 `json:"started"`
	// Entered are the verifications that ended after a code was tried, Verified those
	// that succeeded, Ended all that ended.
	Entered  uint32 `json:"entered"`
	Verified uint32 `json:"verified"`
	Ended    uint32 `json:"ended"`
	// SuccessRate is Verified divided by Started, 1 at most; absent where none was
	// started.
	SuccessRate *float64 `json:"success_rate,omitempty"`
	// Spent is by currency.
	Spent history.Money `json:"spent"`
	// Countries and Callers are in the order of what they have started, the most first.
	Countries []Group `json:"countries"`
	Callers   []Group `json:"callers"`
}

// Calls are of one operation, by where their answer came from.
type Calls struct {
	Upstream uint32 `json:"upstream"`
	Memory   uint32 `json:"memory"`
	Gateway  uint32 `json:"gateway"`
}

// Upstream is what was asked of the provider.
type Upstream struct {
	Calls uint32 `json:"calls"`
	// Failed got no answer of the API.
	Failed uint32 `json:"failed"`
	// The time to the answer, of those that got one; absent where none did.
	P50 *float64 `json:"p50_ms,omitempty"`
	P99 *float64 `json:"p99_ms,omitempty"`
}

// Group is the verifications of a country, or of a caller.
type Group struct {
	Name     string                  `json:"name"`
	Started  uint32                  `json:"started"`
	Entered  uint32                  `json:"entered"`
	Verified uint32                  `json:"verified"`
	Ended    uint32                  `json:"ended"`
	Outcomes map[wire.Outcome]uint32 `json:"outcomes"`
	// Unchecked ended without any code tried.
	Unchecked   uint32   `json:"unchecked"`
	SuccessRate *float64 `json:"success_rate,omitempty"`
	// TimeToSuccess is the median; absent where none is known.
	TimeToSuccess *float64      `json:"time_to_success_s,omitempty"`
	Spent         history.Money `json:"spent"`
}

// WindowOf makes a Window of a total.
func WindowOf(t history.Total) Window {
	w := Window{
		Calls:       map[string]Calls{},
		Trouble:     t.Trouble,
		Upstream:    Upstream{Calls: t.Sent, Failed: t.Failed, P50: quantile(&t.Latency, .5, time.Millisecond), P99: quantile(&t.Latency, .99, time.Millisecond)},
		Requested:   t.Requested,
		Started:     t.Started,
		Entered:     t.Entered,
		Verified:    t.Verified,
		Ended:       t.Ended,
		SuccessRate: rate(t.Verified, t.Started),
		Spent:       money(t.Spent),
		Countries:   groups(t.Countries),
		Callers:     groups(t.Callers),
	}
	for _, o := range wire.Operations {
		calls := t.Calls[o]
		w.Calls[o.String()] = Calls{calls[history.Upstream], calls[history.Memory], calls[history.Gateway]}
	}
	return w
}

func groups(all map[string]*history.Group) []Group {
	list := make([]Group, 0, len(all))
	for name, g := range all {
		group := Group{
			Name:    name,
			Started: g.Started, Entered: g.Entered, Verified: g.Verified(), Ended: g.Ended,
			Outcomes:      map[wire.Outcome]uint32{},
			Unchecked:     g.Unchecked,
			SuccessRate:   rate(g.Verified(), g.Started),
			TimeToSuccess: quantile(&g.TimeToSuccess, .5, time.Second),
			Spent:         money(g.Spent),
		}
		for i, outcome := range wire.Outcomes {
			if g.Outcomes[i] > 0 {
				group.Outcomes[outcome] = g.Outcomes[i]
			}
		}
		list = append(list, group)
	}
	slices.SortFunc(list, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Started, a.Started), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// rate is a share. What was verified may have been started before the window.
func rate(part, whole uint32) *float64 {
	if whole == 0 {
		return nil
	}
	share := min(float64(part)/float64(whole), 1)
	return &share
}

// quantile is in units of a duration, with three digits or so.
func quantile(h *history.Histogram, q float64, unit time.Duration) *float64 {
	d, ok := h.Quantile(q)
	if !ok {
		return nil
	}
	value := math.Round(float64(d)/float64(unit)*10) / 10
	return &value
}

// money is without the traces of binary fractions: prices have eight decimals.
func money(m history.Money) history.Money {
	rounded := history.Money{}
	for currency, amount := range m {
		rounded[currency] = math.Round(amount*1e8) / 1e8
	}
	return rounded
}
