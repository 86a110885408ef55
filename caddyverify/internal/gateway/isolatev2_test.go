package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// fleetAtV2 is gateways whose calls are answered by version 2, whose first verification is testHook. asked are the paths of all calls
// but those that start one.
func fleetAtV2(t *testing.T, n int) (f *fleet, asked *atomic.Value) {
	t.Helper()
	asked = new(atomic.Value)
	asked.Store("")
	var started atomic.Int64
	f = newFleet(t, n, provider(func(r *http.Request) (int, string) {
		if r.URL.Path == "/v2/verify" {
			id := testHook
			if n := started.Add(1); n > 1 {
				id = fmt.Sprintf("%08d", n) + testHook[8:]
			}
			return http.StatusAccepted, `{"request_id":"` + id + `"}`
		}
		asked.Store(r.URL.Path)
		if id := r.URL.Path[len("/v2/verify/"):]; r.Method == http.MethodPost && strings.HasSuffix(id, testHook[8:]) {
			return http.StatusOK, `{"request_id":"` + id + `","status":"completed"}`
		}
		return http.StatusNotFound, `{"title":"Not Found"}`
	}))
	for _, m := range f.all {
		m.V2 = new(V2)
		if err := m.Use(upstream.NewSecret(testSecret+" of v2"), upstream.Secret{}); err != nil {
			t.Fatal(err)
		}
	}
	return f, asked
}

// TestIsolationAtV2: searches are answered from what the gateway keeps for a day, so whose a
// verification is, is known for as long.
func TestIsolationAtV2(t *testing.T) {
	for _, tt := range []struct {
		name     string
		gateways int // the first starts, the last is asked
		prepare  func(*fleet)
		want     string // for another caller, as for what nobody has started
	}{
		{"at the same gateway", 1, func(*fleet) {}, `"status":"101"`},
		{"at another", 2, func(*fleet) {}, `"status":"101"`},
		{"at the same while the store is away", 1, func(f *fleet) { f.away(true) }, "store_away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, asked := fleetAtV2(t, tt.gateways)
				f.isolated("login", "checkout")
				first, last := f.all[0], f.all[tt.gateways-1]
				id := first.start("login", testNumber)
				if body := first.check("login", id, testCode); !strings.Contains(body, `"status":"0"`) {
					t.Fatal(body)
				}
				tt.prepare(f)
				for _, ago := range []time.Duration{0, 62 * time.Minute, 4 * time.Hour} {
					time.Sleep(ago)
					if body := last.lookFor("checkout", id); !strings.Contains(body, tt.want) || body != last.lookFor("checkout", strings.Repeat("0", 32)) {
						t.Errorf("%v later another caller finds %s", ago, body)
					}
					if body := last.lookFor("login", id); !strings.Contains(body, "SUCCESS") || !strings.Contains(body, testNumber) {
						t.Errorf("%v later its own caller finds %s", ago, body)
					}
					for path, more := range map[string]string{"check/json": "&code=0000", "control/json": "&cmd=cancel"} {
						asked.Store("")
						want := `"status":"6"`
						if path == "control/json" && tt.want == "store_away" {
							want = tt.want
						}
						if body := last.call("checkout", path, "request_id="+id+more); !strings.Contains(body, want) || strings.Contains(asked.Load().(string), testHook) || asked.Load() == "" {
							t.Errorf("%v later another caller's %s reaches %v: %s", ago, path, asked.Load(), body)
						}
					}
				}
			})
		})
	}
}

// TestIsolationFromEarlierVersion: of what an earlier version has told the store, it is not known who
// started it, but to the ledgers.
func TestIsolationFromEarlierVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _ := fleetAtV2(t, 2)
		f.isolated("login", "checkout")
		id := wire.Spelling(testHook)
		f.all[0].Account.states.Began(t.Context(), id, state.Start{Number: testNumber})
		if body := f.all[1].lookFor("checkout", id); !strings.Contains(body, testNumber) {
			t.Errorf("what nobody knows the caller of is answered %s", body)
		}
		f.all[0].Account.ledger.Observe(startedBy("login", id))
		if body := f.all[0].lookFor("checkout", id); !strings.Contains(body, `"status":"101"`) {
			t.Errorf("what the ledger knows is answered %s", body)
		}
	})
}

// TestIsolationAtV2DeniesUnknown: where the store is away, nobody knows.
func TestIsolationAtV2DeniesUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, asked := fleetAtV2(t, 2)
		f.isolated("login")
		for _, m := range f.all {
			m.Account.inForce.Load().DenyUnknown = true
		}
		id := f.all[0].start("login", testNumber)
		time.Sleep(6 * time.Hour) // the ledgers have forgotten, and their part of the store
		f.all[1].link.mute.Store(true)
		if f.all[1].check("login", id, testCode); strings.Contains(asked.Load().(string), testHook) {
			t.Errorf("%v is asked", asked.Load())
		}
	})
}
