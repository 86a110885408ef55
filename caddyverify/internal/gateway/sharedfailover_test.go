package gateway

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFailoverOverGateways: with which account a verification was started is known wherever that was.
func TestFailoverOverGateways(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls [2]atomic.Int32
		var fleets [2]*fleet
		for i := range fleets {
			api := direct(newSandbox(t))
			fleets[i] = newFleet(t, 2, provider(func(r *http.Request) (int, string) {
				calls[i].Add(1)
				return api(r)
			}))
		}
		for i, m := range fleets[0].all {
			m.FailOver(fleets[1].all[i].Gateway)
		}
		here, there := fleets[0].all[0], fleets[0].all[1]
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
