package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestScheduled polls verifications of all kinds each second to their end, and wants it seen soon
// after it has come, by few calls. The sandbox keeps to the times of the API by itself.
func TestScheduled(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			s := newScheduled(t, seed)
			defer s.close()
			id, what := s.start()
			var seen time.Time
			for seen.IsZero() {
				answer := call(s.Gateway, "/verify/search/json", "request_id="+id)
				v, _ := s.api.Verification(id)
				switch {
				case !strings.Contains(answer, string(wire.InProgress)):
					seen = time.Now()
					if late := seen.Sub(v.Finalized); late > 2*time.Second {
						t.Errorf("seed %d: %s: %s was seen %v late", seed, what, v.Status, late)
					}
				case s.tried != "" && !strings.Contains(answer, s.tried):
					t.Fatalf("seed %d: %s: a check is over and not seen: %s", seed, what, answer)
				}
				s.act(id, time.Since(v.Submitted))
				time.Sleep(time.Second)
			}
			v, _ := s.api.Verification(id)
			most := 50 + int64(v.Finalized.Sub(v.Submitted)/(25*time.Second))
			if n := s.searches.Load(); n > most {
				t.Errorf("seed %d: %s: %d calls in %v", seed, what, n, v.Finalized.Sub(v.Submitted))
			}
		})
	}
}

// scheduled is a gateway with an application before it and the sandbox after it.
type scheduled struct {
	*Gateway
	account  *Account
	api      *sandbox.Sandbox
	random   *rand.Rand
	searches atomic.Int64
	tried    string // the code that was tried last
	left     int    // how often the user does something yet
}

func newScheduled(t *testing.T, seed uint64) *scheduled {
	t.Helper()
	s := &scheduled{account: newAccount(t), api: newSandbox(t), random: rand.New(rand.NewPCG(seed, 0))}
	settings := *s.account.inForce.Load()
	settings.Cache = search.Settings{Scheduled: true}
	t.Cleanup(s.account.Configure(&settings))
	s.Gateway = newGateway(t, s.account, provider(func(r *http.Request) (int, string) {
		if strings.Contains(r.URL.Path, "/search/") {
			s.searches.Add(1)
		}
		time.Sleep(s.upTo(400 * time.Millisecond))
		code, body := direct(s.api)(r)
		time.Sleep(s.upTo(400 * time.Millisecond))
		return code, body
	}), "https://provider.example")
	return s
}

func (s *scheduled) close() {
	s.Gateway.Close()
	s.account.Close()
}

func (s *scheduled) upTo(most time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(most)))
}

func (s *scheduled) pick(of ...string) string { return of[s.random.IntN(len(of))] }

// start starts a verification of any kind.
func (s *scheduled) start() (id, what string) {
	path, form := "/verify/json", "brand=Acme"
	if s.random.IntN(4) == 0 {
		path, form = "/verify/psd2/json", "payee=Acme&amount=10.00"
	}
	what = s.pick("", "&workflow_id="+s.pick("1", "2", "3", "4", "5", "6", "7")) +
		s.pick("", "&pin_expiry="+s.pick("60", "120", "200", "300", "360", "700", "3600")) +
		s.pick("", "", "&next_event_wait="+s.pick("60", "120", "300", "900"))
	answer := call(s.Gateway, path, form+"&number=447700900001"+what)
	s.left = s.random.IntN(3)
	return regexp.MustCompile(`"request_id":"(\w+)"`).FindStringSubmatch(answer)[1], path + " " + what
}

// act has the user, or the application, do something now and then.
func (s *scheduled) act(id string, age time.Duration) {
	if s.left == 0 || s.random.IntN(60) > 0 || age < 31*time.Second {
		return
	}
	s.left--
	if s.random.IntN(2) == 0 {
		call(s.Gateway, "/verify/control/json", "cmd=trigger_next_event&request_id="+id)
		return
	}
	s.tried = fmt.Sprint(1000 + s.random.IntN(200))
	call(s.Gateway, "/verify/check/json", "code="+s.tried+"&request_id="+id)
}
