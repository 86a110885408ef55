package gateway

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// twoOfTwoAccounts returns two gateways that share a store, with a second account to fail over to. called is told of each call to
// the provider, and with which account it is made; where it reports false, no answer comes.
func twoOfTwoAccounts(t *testing.T, called func(account int, r *http.Request) bool) (here, there *member) {
	t.Helper()
	var fleets [2]*fleet
	for i, host := range []string{"provider.example", "backup.example"} {
		api := direct(newSandbox(t))
		fleets[i] = newFleet(t, 0, provider(func(r *http.Request) (int, string) {
			if !called(i, r) {
				return http.StatusBadGateway, ""
			}
			return api(r)
		}))
		fleets[i].host = host
		fleets[i].join()
		fleets[i].join()
	}
	for i, m := range fleets[0].all {
		m.FailOver(fleets[1].all[i].Gateway)
	}
	return fleets[0].all[0], fleets[0].all[1]
}

// TestFailoverOverGateways: with which account a verification was started is known wherever that was.
func TestFailoverOverGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [2]atomic.Int32
		here, there := twoOfTwoAccounts(t, func(account int, _ *http.Request) bool { return calls[account].Add(1) > 0 })
		expect := func(what string, first, second int32) {
			t.Helper()
			if a, b := calls[0].Swap(0), calls[1].Swap(0); a != first || b != second {
				t.Errorf("%s: %d calls were made with the first account and %d with the second, want %d and %d", what, a, b, first, second)
			}
		}
		here.Account.HoldCircuit(wire.WriteClass)
		id := here.start("app", testNumber)
		expect("a request", 0, 1)
		there.check("app", id, "0000")
		expect("a check elsewhere", 0, 1)
		other := here.start("app", "447700900001")
		calls[1].Store(0)
		if body := there.call("app", "search/json", "request_ids="+id+"&request_ids="+other); !strings.Contains(body, id) || !strings.Contains(body, other) {
			t.Errorf("a list has %s", body)
		}
		expect("a list elsewhere", 0, 1)

		here.Account.ReleaseCircuit(wire.WriteClass)
		here.call("app", "json", "brand=Acme&number="+testNumber)
		expect("a repetition", 0, 1)
		there.check("app", id, testCode)
		expect("its end elsewhere", 0, 1)
		synctest.Wait()
		here.start("app", testNumber)
		expect("another one after that", 1, 0)
	})
}

// TestFailoverAtTheSameTime has two gateways asked for the same number, of which one alone takes the first account to be in
// trouble: it is sent with one account, also later and also where the answer was not handed over.
func TestFailoverAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		here, there := twoOfTwoAccounts(t, func(_ int, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "search") {
				calls.Add(1)
				time.Sleep(time.Second)
			}
			return true
		})
		here.Account.HoldCircuit(wire.WriteClass)
		request := func(m *member) string { return m.call("app", "json", "brand=Acme&number="+testNumber) }
		answers := make(chan string)
		for _, m := range []*member{here, there} {
			go func() { answers <- request(m) }()
		}
		if a, b := <-answers, <-answers; a != b || calls.Load() != 1 {
			t.Errorf("they are answered %s and %s after %d calls", a, b, calls.Load())
		}
		time.Sleep(2 * time.Second)
		calls.Store(0)
		if body := request(there); !strings.Contains(body, `"10"`) || calls.Load() != 1 {
			t.Errorf("later it is %s after %d calls", body, calls.Load())
		}
	})
}

// TestFailoverInDoubt: what may have been sent with one account is sent with no other, whoever is asked for the number next.
func TestFailoverInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [2]atomic.Int32
		here, there := twoOfTwoAccounts(t, func(account int, _ *http.Request) bool { return calls[account].Add(1) > 1 })
		here.Account.HoldCircuit(wire.WriteClass)
		if body := here.call("app", "json", "brand=Acme&number="+testNumber); !strings.Contains(body, "may have been sent") {
			t.Fatalf("it is answered %s", body)
		}
		there.call("app", "json", "brand=Other&number="+testNumber)
		if first, second := calls[0].Load(), calls[1].Load(); first != 0 || second != 2 {
			t.Errorf("%d calls were made with the first account and %d with the second", first, second)
		}
	})
}
