package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
)

func cents(n int64) guard.Money { return guard.Money{Micro: n * 10_000, Currency: "EUR"} }

// budgeted are settings with a budget of a day, in cents, and 15 cents for a message.
func budgeted(m guard.Mode, most int64) guard.Settings {
	return guard.Settings{
		Account: guard.RuleSet{Budgets: []guard.Budget{{Mode: m, Period: guard.Day, Cap: cents(most)}}},
		Prices:  guard.Prices{Any: cents(15)},
	}
}

// wantsMoney compares what is settled and reserved.
func (g *guarding) wantsMoney(t *testing.T, when, want string) {
	t.Helper()
	b := g.Account.Snapshot().Budgets[0]
	if got := fmt.Sprintf("%v, %v of %v", b.Settled, b.Reserved, b.Cap); got != want {
		t.Errorf("%s: %s, want %s", when, got, want)
	}
}

func (g *guarding) check(id string) string {
	return call(g.Gateway, "/verify/check/json", "code="+testCode+"&request_id="+id)
}

// TestBudgetRefuses reserves what a workflow may cost, and refuses what there is no money for, but
// no check.
func TestBudgetRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, budgeted(guard.Enforce, 100))
		defer g.close()
		id := idIn(g.start("447700900001").Body.String())
		g.wantsMoney(t, "three messages", "0.00 EUR, 0.45 EUR of 1.00 EUR")
		g.start("447700900002&workflow_id=4")
		g.wantsMoney(t, "and two", "0.00 EUR, 0.75 EUR of 1.00 EUR")
		g.start("447700900003&workflow_id=6")
		g.wantsMoney(t, "and one", "0.00 EUR, 0.90 EUR of 1.00 EUR")
		w := g.start("447700900004&workflow_id=7")
		if want := `{"status":"9","error_text":"Gateway guard; nothing was sent (caddy-verify: guard_refused)"}` + "\n"; w.Body.String() != want {
			t.Errorf("it reads %s, want %s", w.Body, want)
		}
		if want := `caddy-verify; error=http_request_denied; details="guard_refused: budget"`; w.Header().Get("Proxy-Status") != want {
			t.Errorf("Proxy-Status is %s", w.Header().Get("Proxy-Status"))
		}
		if got := g.check(id); !strings.Contains(got, `"status":"0"`) {
			t.Errorf("a check at the cap: %s", got)
		}
		synctest.Wait()
		g.wantsMoney(t, "checked, but for the last message", "0.05 EUR, 0.60 EUR of 1.00 EUR")
		if want := []string{"warned budget", "exhausted budget", "enforce budget account/day: settled 0.00 EUR, reserved 0.90 EUR, cap 1.00 EUR"}; !slices.Equal(sorted(g.found), sorted(want)) {
			t.Errorf("found: %q", g.found)
		}
		if len(g.sent) != 3 {
			t.Errorf("sent: %v", g.sent)
		}
	})
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// TestBudgetSettled has a reservation end with what the verification has cost, as the provider says
// a little later, or else with what it may have.
func TestBudgetSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, budgeted(guard.Enforce, 10_000))
		defer g.close()
		checked := idIn(g.start("447700900001").Body.String())
		g.check(checked)
		g.wantsMoney(t, "checked", "0.05 EUR, 0.15 EUR of 100.00 EUR")
		time.Sleep(75 * time.Second)
		call(g.Gateway, "/verify/search/json", "request_id="+checked)
		g.wantsMoney(t, "searched for", "0.09675 EUR, 0.00 EUR of 100.00 EUR")

		cancelled := idIn(g.start("447700900002").Body.String())
		time.Sleep(40 * time.Second)
		call(g.Gateway, "/verify/control/json", "cmd=cancel&request_id="+cancelled)
		g.wantsMoney(t, "cancelled, and nobody tells the price", "0.09675 EUR, 0.45 EUR of 100.00 EUR")
		g.start("447700900003")
		time.Sleep(20 * time.Minute)
		g.wantsMoney(t, "long over", "0.99675 EUR, 0.00 EUR of 100.00 EUR")
		time.Sleep(25 * time.Hour)
		g.wantsMoney(t, "another day", "0.00 EUR, 0.00 EUR of 100.00 EUR")
	})
}

// TestBudgetAsks has the settler ask what verifications have cost, to the provider's books.
func TestBudgetAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, budgeted(guard.Enforce, 10_000))
		defer g.close()
		defer g.settle()()
		g.check(idIn(g.start("447700900001").Body.String()))
		cancelled := idIn(g.start("447700900002").Body.String())
		time.Sleep(40 * time.Second)
		call(g.Gateway, "/verify/control/json", "cmd=cancel&request_id="+cancelled)
		g.start("447700900003") // expires after three messages
		time.Sleep(2 * time.Minute)
		g.wantsMoney(t, "two are known", "0.1435 EUR, 0.45 EUR of 100.00 EUR")
		time.Sleep(11 * time.Minute)
		g.wantsMoney(t, "all are", "0.28375 EUR, 0.00 EUR of 100.00 EUR")
		if n := len(g.Account.prices.waiting); n != 0 {
			t.Errorf("%d are to be asked about yet", n)
		}
	})
}

// TestBudgetTogether starts many at once, and the cap holds.
func TestBudgetTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		settings := *a.inForce.Load()
		settings.Guard = budgeted(guard.Enforce, 1000)
		t.Cleanup(a.Configure(&settings))
		var mu sync.Mutex
		sent := 0
		g := newGateway(t, a, provider(func(*http.Request) (int, string) {
			time.Sleep(time.Second)
			mu.Lock()
			defer mu.Unlock()
			sent++
			return http.StatusOK, fmt.Sprintf(`{"status":"0","request_id":"%032d"}`, sent)
		}), "https://provider.example")
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() { call(g, "/verify/json", fmt.Sprintf("brand=Acme&number=4477009%05d", i)) })
		}
		all.Wait()
		if b := a.Snapshot().Budgets[0]; sent != 22 || b.Reserved != cents(22*45) {
			t.Errorf("%d were sent, %v is reserved", sent, b.Reserved)
		}
		g.Close()
		a.Close()
	})
}

// TestBudgetModes: monitor sends, off and what is trusted keep no account, and a reload changes the
// cap at once and keeps what is spent.
func TestBudgetModes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := budgeted(guard.Monitor, 60)
		s.Trusted.Prefixes = []string{"4479"}
		g := newGuarding(t, s)
		defer g.close()
		for i := range 3 {
			if id := idIn(g.start(fmt.Sprint(447700900001 + i)).Body.String()); id == "" {
				t.Errorf("monitor has refused start %d", i)
			}
		}
		g.wantsMoney(t, "in monitor", "0.00 EUR, 1.35 EUR of 0.60 EUR")
		synctest.Wait()
		if n := len(slices.DeleteFunc(slices.Clone(g.found), func(f string) bool { return !strings.HasPrefix(f, "monitor budget account/day") })); n != 2 {
			t.Errorf("found: %q", g.found)
		}
		configure := func(m guard.Mode, most int64) {
			settings := *g.Account.inForce.Load()
			settings.Guard.Account = budgeted(m, most).Account
			t.Cleanup(g.Account.Configure(&settings))
		}
		configure(guard.Enforce, 179)
		g.wantsMoney(t, "reloaded", "0.00 EUR, 1.35 EUR of 1.79 EUR")
		if id := idIn(g.start("447700900005").Body.String()); id != "" {
			t.Error("a cent is missing, and it was sent")
		}
		if id := idIn(g.start("447900900005").Body.String()); id == "" {
			t.Error("what is trusted was refused")
		}
		g.wantsMoney(t, "trusted", "0.00 EUR, 1.35 EUR of 1.79 EUR")
		configure(guard.Enforce, 180)
		if id := idIn(g.start("447700900005").Body.String()); id == "" {
			t.Error("there is room")
		}
		g.wantsMoney(t, "full", "0.00 EUR, 1.80 EUR of 1.80 EUR")
	})
}

// TestBudgetLearns reserves what messages have turned out to cost.
func TestBudgetLearns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := budgeted(guard.Enforce, 10_000)
		s.Prices.Any = cents(2)
		g := newGuarding(t, s)
		defer g.close()
		id := idIn(g.start("447700900001").Body.String())
		g.wantsMoney(t, "as it is said", "0.00 EUR, 0.06 EUR of 100.00 EUR")
		g.check(id)
		time.Sleep(75 * time.Second)
		call(g.Gateway, "/verify/search/json", "request_id="+id)
		g.start("447700900002")
		g.start("33612345678")
		g.wantsMoney(t, "as it has cost", "0.09675 EUR, 0.35025 EUR of 100.00 EUR")
		synctest.Wait()
		if want := []string{"price_raised budget"}; !slices.Equal(g.found, want) {
			t.Errorf("told: %q", g.found)
		}
	})
}

// TestBudgetMetrics has metrics that say what status says.
func TestBudgetMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, budgeted(guard.Enforce, 60))
		defer g.close()
		g.check(idIn(g.start("447700900001").Body.String()))
		g.start("447700900002")
		state := observe.NewState("x")
		s := g.Account.Snapshot()
		s.addTo(state)
		want := observe.BudgetFigures{Settled: .05, Reserved: .15, Cap: .6}
		if got := state.Budgets[observe.Budget{Name: "account/day", Currency: "EUR"}]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if got := state.Saved[observe.Saved{Rule: "budget", Currency: "EUR", Refused: true}]; got != .45 || len(state.Saved) != 1 {
			t.Errorf("saved: %v", state.Saved)
		}
	})
}
