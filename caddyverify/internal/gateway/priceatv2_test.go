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
// soon after the end is estimated, where there are prices.
func TestPriceAtV2(t *testing.T) {
	const early, soon, late = -time.Second, time.Second, askPriceAfter + 10*time.Second
	for _, tt := range []struct {
		name   string
		told   string        // the price
		after  time.Duration // the end
		priced bool
		fee    float64
		stands float64 // the estimate
		budget string  // of each gateway; what is reserved is left of what a gateway has taken for itself
	}{
		{"before the end", "0.0800000", early, true, 0.08, 0, "0.08 EUR, 0.15625 EUR"},
		{"soon", "0.0800000", soon, true, 0.08, 0, "0.08 EUR, 0.15625 EUR"},
		{"late, and less than estimated", "0.0800000", late, true, 0, 0.15, "0.08 EUR, 0.15625 EUR"},
		{"late, and more", "0.400000001", late, true, 0.25000001, 0.15, "0.400001 EUR, 0.15625 EUR"},
		{"that there is none", "0.00", soon, true, 0, 0.15, "0.00 EUR, 0.60625 EUR"},
		{"never", "", soon, true, 0, 0.15, "0.00 EUR, 0.60625 EUR"},
		{"without prices", "0.0800000", soon, false, 0.08, 0, ""},
	} {
		for at := range 4 { // the gateways that see the end, and are told
			t.Run(fmt.Sprint(tt.name, ", ", at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, _ := fleetAtV2(t, 2)
					budgets := 0
					if tt.priced {
						f.priced(budgeted(guard.Enforce, 1000))
						budgets = 1
					}
					id := f.all[0].start("app", testNumber)
					told := func() {
						if tt.told != "" {
							f.all[at/2].tell(t, tt.told)
						}
					}
					if tt.after < 0 {
						told()
						time.Sleep(-tt.after)
					}
					f.all[at%2].check("app", id, testCode)
					if tt.after > 0 {
						time.Sleep(tt.after)
						told()
					}
					time.Sleep(2 * askPriceAfter)
					want := `"`
					if strings.Trim(tt.told, "0.") != "" {
						want = `"price":"` + tt.told + `","currency":"EUR"`
					}
					if search := f.all[1].lookFor("app", id); !strings.Contains(search, want+`,"status"`) || want == `"` && strings.Contains(search, "price") {
						t.Errorf("a search says %s, want %s", search, want)
					}
					if paid := f.paid("app"); math.Abs(paid["fee"]-tt.fee)+math.Abs(paid["estimated"]-tt.stands) > 1e-9 {
						t.Errorf("it has cost %v, want %v, and %v by estimate", paid, tt.fee, tt.stands)
					}
					for i, m := range f.all {
						all := m.Account.Snapshot().Budgets
						if len(all) != budgets {
							t.Errorf("%d budgets", len(all))
						}
						for _, b := range all {
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

// TestEstimatesOfOneThatStops: a gateway that stops does not wait long for a slow store, and estimates all the same.
func TestEstimatesOfOneThatStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := fleetAtV2(t, 2)
		f.priced(guard.Settings{Prices: guard.Prices{Any: cents(15)}})
		const n = 1500
		for i := range n {
			f.all[0].check("app", f.all[0].start("app", fmt.Sprint(447700900000+i)), testCode)
		}
		settled()
		f.all[0].Close()
		f.all[0].link.late.Store(int64(5 * time.Millisecond))
		begun := time.Now()
		f.all[0].Account.Close()
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("it takes %v", took)
		}
		if paid := f.paid("app")["estimated"]; math.Abs(paid-n*0.15) > 1e-6 {
			t.Errorf("they have cost %v", paid)
		}
		f.all[0].link.late.Store(0)
		time.Sleep(time.Second) // for the last answers
	})
}

// TestEstimateWhileStoreAway: costs are estimated, once, of all that is counted as ended, also by a gateway that goes on alone, one that
// learns of the start later than of the end, and one that stops.
func TestEstimateWhileStoreAway(t *testing.T) {
	const n = 300
	check := func(by int) func(*fleet, []string) {
		return func(f *fleet, ids []string) {
			for _, id := range ids {
				f.all[by].check("app", id, testCode)
			}
		}
	}
	for _, tt := range []struct {
		name        string
		before, end func(*fleet, []string)
	}{
		{"for a moment", func(f *fleet, _ []string) { f.away(true) }, func(f *fleet, ids []string) {
			check(0)(f, ids)
			time.Sleep(time.Second)
		}},
		{"for long", func(f *fleet, _ []string) { f.away(true) }, func(f *fleet, ids []string) {
			check(0)(f, ids)
			time.Sleep(10 * time.Minute)
		}},
		{"for who starts it", func(f *fleet, _ []string) {}, func(f *fleet, ids []string) {
			check(1)(f, ids)
			time.Sleep(5 * time.Second)
		}},
		{"for who starts it, and for all when costs are due", func(f *fleet, _ []string) {}, func(f *fleet, ids []string) {
			check(1)(f, ids)
			time.Sleep(5 * time.Second)
			f.all[0].link.away.Store(false)
			time.Sleep(askPriceAfter - 25*time.Second)
			f.away(true)
			time.Sleep(askPriceAfter)
		}},
		{"and it stops", func(f *fleet, _ []string) { f.away(true) }, func(f *fleet, ids []string) {
			check(0)(f, ids)
			f.all[0].Close()
			f.all[0].Account.Close()
		}},
		{"no more, and another stops", func(f *fleet, _ []string) {
			f.all[0].link.away.Store(false)
			time.Sleep(10 * time.Second)
		}, func(f *fleet, ids []string) {
			check(1)(f, ids)
			time.Sleep(time.Second)
			f.all[1].Close()
			f.all[1].Account.Close()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _ := fleetAtV2(t, 2)
				f.priced(guard.Settings{Prices: guard.Prices{Any: cents(15)}})
				f.all[0].link.away.Store(true)
				ids := make([]string, n)
				for i := range ids {
					ids[i] = f.all[0].start("app", fmt.Sprint(447700900000+i))
				}
				tt.before(f, ids)
				tt.end(f, ids)
				f.away(false)
				time.Sleep(3 * askPriceAfter)
				if paid, want := f.paid("app"), float64(n)*0.15; math.Abs(paid["estimated"]-want) > 1e-6 || paid["fee"] != 0 {
					t.Errorf("they have cost %v, want %v", paid, want)
				}
			})
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
		want := map[string]float64{
			old: 0.10, slow: 0.30, start("workflow_id=6&number=447700900002"): 0.15, start("workflow_id=6&number=493023125000"): 0.50,
		}
		for id := range want {
			call(g, "/verify/check/json", "request_id="+id+"&code="+testCode)
		}
		time.Sleep(askPriceAfter + 2*time.Second)
		for id, want := range want {
			if v, _ := a.Verification(id); v.Cost != want || v.Currency != "EUR" {
				t.Errorf("%s has cost %v %s, want %v", id, v.Cost, v.Currency, want)
			}
		}
	})
}
