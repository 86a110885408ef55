package gateway

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

// TestPriceAtV2 has webhooks tell what a verification has cost, in no currency: it is the one that the account's prices
// are in, for searches, costs and budgets alike.
func TestPriceAtV2(t *testing.T) {
	for _, priced := range []bool{true, false} {
		for _, by := range []int{0, 1} {
			t.Run(fmt.Sprint(priced, by), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f, _ := fleetAtV2(t, 2)
					for _, m := range f.all {
						settings := *m.Account.inForce.Load()
						if settings.Guard = budgeted(guard.Enforce, 1000); !priced {
							settings.Guard = guard.Settings{}
						}
						m.Account.Configure(&settings)
					}
					time.Sleep(time.Minute) // budgets have their parts
					id := f.all[0].start("app", testNumber)
					f.all[0].check("app", id, testCode)
					time.Sleep(2 * time.Minute)
					if known, sure := f.all[by].Told(t.Context(), state.Event{ID: testHook, Type: "summary", Status: "completed", Price: "0.0800000"}); !known || !sure {
						t.Fatalf("told: %v, %v", known, sure)
					}
					time.Sleep(time.Minute)
					search := f.all[1].lookFor("app", id)
					if has := strings.Contains(search, `"price":"0.0800000"`+map[bool]string{true: `,"currency":"EUR"`}[priced]+`,"status"`); !has {
						t.Errorf("a search says %s", search)
					}
					if paid := f.paid("app"); paid["fee"] != map[bool]float64{true: 0.08}[priced] {
						t.Errorf("it has cost %v", paid)
					}
					for i, m := range f.all {
						for _, b := range m.Account.Snapshot().Budgets {
							// Reserved is what is left of what a gateway has taken for itself.
							if got := fmt.Sprintf("%v, %v", b.Settled, b.Reserved); got != "0.08 EUR, 0.15625 EUR" {
								t.Errorf("a budget of gateway %d: %s", i, got)
							}
						}
					}
				})
			})
		}
	}
}
