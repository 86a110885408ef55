package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSettlesAlong: while an application has lists go upstream, what nobody asks about goes
// along, and is asked about by itself once nobody calls.
func TestSettlesAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newSandbox(t)
		a := newAccount(t)
		var searches []string
		g := newGateway(t, a, provider(func(r *http.Request) (int, string) {
			if strings.Contains(r.URL.Path, "/search/") {
				searches = append(searches, r.URL.RawQuery)
			}
			return direct(api)(r)
		}), "https://provider.example")
		g.ends = append(g.ends, g.settle())
		outcomes := map[wire.Outcome]int{}
		a.Subscribe(func(e Event) {
			if f, ok := e.Detail.(VerificationFinished); ok {
				outcomes[f.Outcome]++
			}
		})
		started := 0
		start := func() string {
			started++
			answer := call(g, "/verify/json", fmt.Sprintf("brand=Acme&workflow_id=6&number=44770090%04d", started))
			return regexp.MustCompile(`"request_id":"(\w+)"`).FindStringSubmatch(answer)[1]
		}
		var along, alone int
		count := func(ids ...string) {
			synctest.Wait() // for the settler
			along, alone = 0, 0
			for _, query := range searches {
				for _, id := range ids {
					switch {
					case !strings.Contains(query, id):
					case strings.Contains(query, polledMark):
						along++
					default:
						alone++
					}
				}
			}
			searches = nil
		}
		time.Sleep(500 * time.Millisecond) // between two looks of the settler
		unasked := []string{start(), start(), start()}
		for range 4 {
			polled := "request_ids=" + start() + "&request_ids=" + start() + "&request_ids=" + polledMark
			for range 180 {
				call(g, "/verify/search/json", polled)
				time.Sleep(time.Second)
			}
		}
		if count(unasked...); along != 3 || alone != 0 {
			t.Errorf("they went along %d times, and alone %d times", along, alone)
		}
		unasked = []string{start(), start()}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if count(unasked...); along != 0 || alone != 2 {
			t.Errorf("with nobody else they went along %d times, and alone %d times", along, alone)
		}
		if outcomes[wire.OutcomeExpired] != started {
			t.Errorf("of %d there ended %v", started, outcomes)
		}
		g.Close()
		a.Close()
	})
}

// TestNotSentAlong: what has not gone along, since its list was refused, is asked for as before.
func TestNotSentAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		g := newGateway(t, a, direct(newSandbox(t)), "https://provider.example")
		a.settlers.Add(1)
		call(g, "/verify/json", "brand=Acme&workflow_id=6&number=447700900001")
		time.Sleep(10 * time.Minute)
		for range 10 {
			ids, ended := a.settleAlong(9)
			if len(ids) != 1 {
				t.Fatalf("asked for are %v", ids)
			}
			ended(false)
		}
		if a.wentAlong.Load() {
			t.Error("the settler is told that it need not ask")
		}
		_, ended := a.settleAlong(9)
		ended(true)
		if ids, _ := a.settleAlong(9); len(ids) > 0 || !a.wentAlong.Load() {
			t.Errorf("asked for are %v once more", ids)
		}
		g.Close()
		a.Close()
	})
}

// polledMark is an unknown verification, by which the application's lists are known.
const polledMark = "00000000000000000000000000000001"
