package live

import (
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	// maxGroups is how many countries, and callers, the page has.
	maxGroups = 12
	// maxBlocks is how many of the guard's blocks, the latest, and maxBudgets how many budgets.
	maxBlocks, maxBudgets = 12, 24
	// maxEvents is how many events it has.
	maxEvents = 50
)

// view is what the page has without a script.
type view struct {
	Version  string
	Host     string
	Origin   string
	Time     time.Time
	Accounts []status.Account
	Faults   string

	Account *status.Account // nil where there is none
	Numbers numbers
	Windows []window
	Events  []status.Event // the newest first
}

func (v *view) chosen(a *gateway.Account) {
	chosen := status.Of(a)
	chosen.Guard = guardOf(chosen.Guard)
	v.Account = &chosen
	v.Numbers = numbersOf(a)
	v.Windows = windowsOf(a)
	v.Events = eventsOf(a)
}

// guardOf is as much of the guard as the page has; nil where it is off.
func guardOf(g *status.Guard) *status.Guard {
	if g != nil {
		g.Blocks = g.Blocks[:min(len(g.Blocks), maxBlocks)]
		g.Budgets = g.Budgets[:min(len(g.Budgets), maxBudgets)]
	}
	return g
}

// numbers are the four of the page, each against the hour before.
type numbers struct {
	SuccessRate       *float64      `json:"success_rate"`
	SuccessRateBefore *float64      `json:"success_rate_before"`
	Started           uint32        `json:"started"`
	StartedBefore     uint32        `json:"started_before"`
	P99               *float64      `json:"p99_ms"`
	P99Before         *float64      `json:"p99_ms_before"`
	Spent             history.Money `json:"spent"`
	SpentHour         history.Money `json:"spent_hour"`
}

func numbersOf(a *gateway.Account) numbers {
	hour := status.WindowOf(a.History().Total(history.Hour))
	before := status.WindowOf(history.Total{Point: a.History().HourBefore()})
	return numbers{
		SuccessRate: hour.SuccessRate, SuccessRateBefore: before.SuccessRate,
		Started: hour.Started, StartedBefore: before.Started,
		P99: hour.Upstream.P99, P99Before: before.Upstream.P99,
		Spent: status.WindowOf(a.History().Total(history.Day)).Spent, SpentHour: hour.Spent,
	}
}

// window is what happened within one of the times that the page can show.
type window struct {
	Name string `json:"name"`
	status.Window
	Countries []group `json:"countries"`
	Callers   []group `json:"callers"`
}

// group is a country or a caller.
type group struct {
	status.Group
	// Change is by how much its success rate differs from that of the time before; absent
	// where one of them is not known.
	Change *float64 `json:"change,omitempty"`
}

// The names of the windows, in their order.
var windowNames = [...]string{"15 minutes", "hour", "day"}

func windowsOf(a *gateway.Account) (all []window) {
	for i, w := range history.Windows {
		one := window{Name: windowNames[i], Window: status.WindowOf(a.History().Total(w))}
		var before history.Total
		before.Countries, before.Callers = a.History().GroupsBefore(w)
		then := status.WindowOf(before)
		one.Countries = worstFirst(one.Window.Countries, then.Countries, one.SuccessRate)
		one.Callers = worstFirst(one.Window.Callers, then.Callers, one.SuccessRate)
		all = append(all, one)
	}
	return all
}

// worstFirst keeps the largest groups, and has those before the others that succeed much
// less than all do.
func worstFirst(largest, before []status.Group, all *float64) []group {
	const enough, less = 10, 0.2
	rates := map[string]*float64{}
	for _, g := range before {
		rates[g.Name] = g.SuccessRate
	}
	largest = largest[:min(len(largest), maxGroups)]
	groups := make([]group, 0, len(largest))
	for _, g := range largest {
		one := group{Group: g}
		if then := rates[g.Name]; then != nil && g.SuccessRate != nil {
			change := *g.SuccessRate - *then
			one.Change = &change
		}
		groups = append(groups, one)
	}
	wrong := func(g group) int {
		if all != nil && g.SuccessRate != nil && g.Started >= enough && *g.SuccessRate < *all-less {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(groups, func(a, b group) int { return wrong(a) - wrong(b) })
	return groups
}

func eventsOf(a *gateway.Account) (all []status.Event) {
	for _, e := range slices.Backward(a.Notices()) {
		if event, ok := status.EventOf(e); ok && len(all) < maxEvents {
			all = append(all, event)
		}
	}
	return all
}

// series is the points of a time, column by column: a value for each step, of which the
// last ended at End.
type series struct {
	Step    int                   `json:"step"` // seconds
	End     int64                 `json:"end"`  // of Unix time
	Columns map[string][]*float64 `json:"columns"`
}

func seriesOf(a *gateway.Account, w history.Window) series {
	step, end, points := a.History().Series(w)
	s := series{Step: int(step.Seconds()), End: end.Add(-step).Unix(), Columns: map[string][]*float64{}}
	for i := range points[:len(points)-1] { // the present one is not over yet
		for name, value := range columns(&points[i], step) {
			s.Columns[name] = append(s.Columns[name], value)
		}
	}
	return s
}

// columns are a point's values: counts by second, but for verifications, which are by
// minute. What is not known has none.
func columns(p *history.Point, step time.Duration) map[string]*float64 {
	perSecond := func(n uint32) *float64 {
		if !p.Known {
			return nil
		}
		rate := float64(n) / step.Seconds()
		return &rate
	}
	gauge := func(n int) *float64 {
		if !p.Known {
			return nil
		}
		value := float64(n)
		return &value
	}
	quantile := func(q float64) *float64 {
		d, ok := p.Latency.Quantile(q)
		if !ok {
			return nil
		}
		value := float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
		return &value
	}
	calls := func(os ...wire.Operation) (n uint32) {
		for _, o := range os {
			for _, by := range p.Calls[o] {
				n += by
			}
		}
		return n
	}
	return map[string]*float64{
		"requests":  perSecond(calls(wire.Request, wire.PSD2)),
		"checks":    perSecond(calls(wire.Check, wire.Control)),
		"searches":  perSecond(calls(wire.Search)),
		"memory":    perSecond(p.Calls[wire.Search][history.Memory]),
		"upstream":  perSecond(p.Sent),
		"failed":    perSecond(p.Failed),
		"p50":       quantile(.5),
		"p99":       quantile(.99),
		"started":   perSecond(p.Started * 60),
		"verified":  perSecond(p.Verified * 60),
		"waiting":   gauge(p.Waiting),
		"rate":      gauge(p.Rate),
		"not_ready": gauge(p.Broken),
	}
}
