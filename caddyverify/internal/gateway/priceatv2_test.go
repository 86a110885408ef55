package gateway

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// priced has all gateways go by prices and a budget.
func (f *fleet) priced(s guard.Settings) {
	for _, m := range f.all {
		settings := *m.Account.inForce.Load()
		settings.Guard = s
		m.Account.Configure(&settings)
	}
	time.Sleep(time.Minute) // budgets have their parts
}

// tell has a gateway be told by a webhook what testHook has cost.
func (m *member) tell(t *testing.T, price string) {
	t.Helper()
	if known, sure := m.Told(t.Context(), state.Event{ID: testHook, Type: "summary", Status: "completed", Price: price}); !known || !sure {
		t.Errorf("told: %v, %v", known, sure)
	}
}

// TestPriceAtV2 has webhooks tell what a verification has cost in all, for searches, costs and budgets alike. What nobody has told
// by the end is estimated, where there are prices.
func TestPriceAtV2(t *testing.T) {
	cost := func(fee, estimated float64) map[string]float64 {
		return map[string]float64{"fee": fee, "estimated": estimated}
	}
	for _, tt := range []struct {
		name   string
		told   string // the price
		before bool   // the end
		priced bool
		want   map[string]float64
		budget string // of each gateway; what is reserved is left of what a gateway has taken for itself
	}{
		{"less than estimated", "0.0800000", false, true, cost(0, 0.15), "0.08 EUR, 0.15625 EUR"},
		{"more", "0.400000001", false, true, cost(0.25000001, 0.15), "0.400001 EUR, 0.15625 EUR"},
		{"before the end", "0.0800000", true, true, cost(0.08, 0), "0.08 EUR, 0.15625 EUR"},
		{"never", "", false, true, cost(0, 0.15), "0.00 EUR, 0.60625 EUR"},
		{"without prices", "0.0800000", false, false, cost(0.08, 0), ""},
	} {
		for by := range 2 {
			t.Run(fmt.Sprint(tt.name, ", at gateway ", by), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, _ := fleetAtV2(t, 2)
					if tt.priced {
						f.priced(budgeted(guard.Enforce, 1000))
					}
					id := f.all[0].start("app", testNumber)
					if tt.before {
						f.all[by].tell(t, tt.told)
					}
					f.all[by].check("app", id, testCode)
					time.Sleep(2 * time.Minute)
					if tt.told != "" && !tt.before {
						f.all[1-by].tell(t, tt.told)
					}
					time.Sleep(time.Minute)
					want := `"last_event_date":"2000-01-01 00:01:00"`
					if tt.told != "" {
						want = `"price":"` + tt.told + `","currency":"EUR"`
					}
					if search := f.all[1].lookFor("app", id); !strings.Contains(search, want+`,"status"`) {
						t.Errorf("a search says %s, want %s", search, want)
					}
					paid := f.paid("app")
					for kind, want := range tt.want {
						if math.Abs(paid[kind]-want) > 1e-9 {
							t.Errorf("%s is %v, want %v", kind, paid[kind], want)
						}
					}
					for i, m := range f.all {
						for _, b := range m.Account.Snapshot().Budgets {
							if got := fmt.Sprintf("%v, %v", b.Settled, b.Reserved); got != tt.budget {
								t.Errorf("a budget of gateway %d: %s, want %s", i, got, tt.budget)
							}
						}
					}
				})
			})
		}
	}
}

// TestEstimateWhileStoreAway counts an estimate once, at last.
func TestEstimateWhileStoreAway(t *testing.T) {
	for _, away := range []time.Duration{time.Second, bookAlone / 2, 2 * bookAlone} {
		synctest.Test(t, func(t *testing.T) {
			f, _ := fleetAtV2(t, 2)
			f.priced(budgeted(guard.Monitor, 1000))
			id := f.all[0].start("app", testNumber)
			f.away(true)
			f.all[0].check("app", id, testCode)
			time.Sleep(away)
			f.away(false)
			settled()
			f.all[1].lookFor("app", id)
			time.Sleep(2 * bookAlone)
			if paid := f.paid("app"); math.Abs(paid["estimated"]-0.15) > 1e-9 {
				t.Errorf("it has cost %v after %v", paid, away)
			}
		})
	}
}

// TestEstimateAlone is without a store, and with verifications of both versions: those of version 1 have prices of their own.
// Countries have theirs, and all messages count.
func TestEstimateAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const old = "ffffffffffffffffffffffffffffffff"
		a := newAccount(t)
		settings := *a.inForce.Load()
		settings.Guard = guard.Settings{Prices: guard.Prices{Any: cents(50), Of: map[string]int64{"GB": cents(15).Micro}}}
		a.Configure(&settings)
		started := 0
		g := newGateway(t, a, provider(func(r *http.Request) (int, string) {
			switch {
			case r.URL.Path == "/v2/verify":
				started++
				return http.StatusAccepted, fmt.Sprintf(`{"request_id":"%08d%s"}`, started, testHook[8:])
			case r.URL.Path == "/verify/json":
				return http.StatusOK, `{"request_id":"` + old + `","status":"0"}`
			case strings.HasPrefix(r.URL.Path, "/verify/check"):
				return http.StatusOK, `{"request_id":"` + old + `","status":"0","price":"0.10","currency":"EUR"}`
			}
			return http.StatusOK, `{"request_id":"` + r.URL.Path[len("/v2/verify/"):] + `","status":"completed"}`
		}), "https://provider.example")
		start := func(params string) string { return idIn(call(g, "/verify/json", "brand=Acme&"+params)) }
		start("number=" + testNumber)
		drained := g.Upstream
		g.V2 = &V2{Drain: &drained}
		if err := g.Use(upstream.NewSecret(testSecret+" of v2"), upstream.Secret{}); err != nil {
			t.Fatal(err)
		}
		slow := start("number=447700900001")
		time.Sleep(5 * time.Minute)
		for id, want := range map[string]float64{
			old: 0.10, slow: 0.30, start("workflow_id=6&number=447700900002"): 0.15, start("workflow_id=6&number=493023125000"): 0.50,
		} {
			call(g, "/verify/check/json", "request_id="+id+"&code="+testCode)
			if v, _ := a.Verification(id); v.Cost != want || v.Currency != "EUR" {
				t.Errorf("%s has cost %v %s, want %v", id, v.Cost, v.Currency, want)
			}
		}
	})
}
