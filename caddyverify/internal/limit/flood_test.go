package limit

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestFloodOfChecks has far more checks come than may be made, and a few requests:
// one call in four is theirs if they want it.
func TestFloodOfChecks(t *testing.T) {
	const window = 20 * time.Second
	tests := []struct {
		name            string
		rate            int
		checks, request float64 // a second
		least           float64 // share of the requests that go, or of the calls made
		ofCalls         bool
	}{
		{"a few requests", 28, 1000, 3, 0.8, false},
		{"as many as there is room for", 28, 1000, 7, 0.6, false},
		{"a flood of both", 28, 1000, 1000, 0.24, true},
		{"a slow pace", 10, 1000, 100, 0.24, true},
		{"a pace without a place to wait", 2, 1000, 100, 0.2, true},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			outcomes := run(New(Settings{Rate: tt.rate}), append(
				poisson(rand.New(rand.NewPCG(1, 3)), wire.Check, tt.checks, window),
				poisson(rand.New(rand.NewPCG(0, 3)), wire.Request, tt.request, window)...))
			came, requests, _, _ := of(outcomes, wire.Request)
			_, checks, _, _ := of(outcomes, wire.Check)
			t.Logf("%d of %d requests, %d checks", requests, came, checks)
			share := float64(requests) / float64(came)
			if tt.ofCalls {
				share = float64(requests) / float64(requests+checks)
				if share > 0.26 {
					t.Errorf("%.2f of the calls were requests: checks come first", share)
				}
			}
			if share < tt.least {
				t.Errorf("a share of %.2f, want %.2f", share, tt.least)
			}
			if calls := requests + checks; calls < tt.rate*19 {
				t.Errorf("%d calls in 20 s at %d a second", calls, tt.rate)
			}
			for _, o := range outcomes {
				if o.waited > 250*time.Millisecond {
					t.Fatalf("a %v waited for %v", o.operation, o.waited)
				}
			}
		})
	}
}

// TestEstimate compares the estimate with the order in which calls do go.
func TestEstimate(t *testing.T) {
	tests := []struct {
		name    string
		waiting string // in order of arrival: o for the gateway's own, c for a check, r for a request, s for a search
		comes   wire.Operation
		want    int // slots from now, the next one being 1
	}{
		{"a check alone", "", wire.Check, 1},
		{"a check after its like", "cc", wire.Check, 3},
		{"a fourth check after another", "rccc", wire.Check, 5},
		{"a check where all others went", "rcccccc", wire.Check, 8},
		{"a request alone", "", wire.Request, 1},
		{"a request after two checks", "cc", wire.Request, 3},
		{"a request after many checks", "cccccc", wire.Request, 4},
		{"the second request after many checks", "rccccccc", wire.Request, 8},
		{"a search after requests", "rr", wire.Search, 3},
		{"a search after many requests", "rrrrr", wire.Search, 4},
		{"a request after searches", "ss", wire.Request, 1},
		{"a search after many of both", "rrrrrcccccc", wire.Search, 10},
		{"a check after both", "srrrcccc", wire.Check, 6},
		{"after the gateway's own", "oo", wire.Check, 3},
		{"a request after the gateway's own", "oocccc", wire.Request, 6},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			l := New(Settings{Rate: 100})
			run(l, atOnce(0, wire.Check, 100)) // comes back from now + 1 s, one each 10 ms
			time.Sleep(900 * time.Millisecond)
			for _, c := range tt.waiting {
				go func() {
					switch c {
					case 'o':
						l.WaitFirst(t.Context())
					case 'c':
						l.Wait(t.Context(), "", wire.Check)
					case 's':
						l.Wait(t.Context(), "", wire.Search)
					default:
						l.Wait(t.Context(), "", wire.Request)
					}
				}()
				synctest.Wait()
			}
			due := time.Now().Add(100*time.Millisecond + time.Duration(tt.want-1)*10*time.Millisecond)
			l.mu.Lock()
			expected, _ := l.expected(l.get(""), classOf(tt.comes))
			l.mu.Unlock()
			if !expected.Equal(due) {
				t.Errorf("the estimate is off by %v", expected.Sub(due))
			}
			if _, ok := l.Wait(t.Context(), "", tt.comes); !ok || !time.Now().Equal(due) {
				t.Errorf("it went (%t) at another time, off by %v", ok, time.Since(due))
			}
			time.Sleep(time.Second)
		})
	}
}
