package gateway

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

var timing = flag.Bool("timing", false, "compare how long calls take about another's verification and about nobody's")

// TestIsolationTiming compares the times of 10,000 searches for another's verification with those of as many for one
// that nobody has, over real connections, by the Mann-Whitney U test. It is no part of the gate: no test asserts a time.
func TestIsolationTiming(t *testing.T) {
	if !*timing {
		t.Skip("run it with -timing, on a quiet machine")
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"request_id":"","status":"101","error_text":"No response found."}`)
	}))
	defer provider.Close()
	a := newAccount(t)
	g := newGateway(t, a, http.DefaultTransport, provider.URL)
	isolated := &caller.Caller{Name: "checkout", Isolated: true}
	g.Caller = func(*http.Request) (*caller.Caller, bool) { return isolated, true }
	server := httptest.NewServer(g)
	defer server.Close()
	const calls = 10_000
	var took [2][]float64
	for n := range 2 * (calls + 500) {
		id := fmt.Sprintf("%032x", n)
		started := id
		if n%2 == 1 {
			started = fmt.Sprintf("%032X", ^n) // so that as much is done for nobody's
		}
		a.ledger.Observe(startedBy("login", started))
		begun := time.Now()
		response, err := http.PostForm(server.URL+"/verify/search/json", map[string][]string{"request_id": {id}})
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if n >= 1000 { // both are warm
			took[n%2] = append(took[n%2], float64(time.Since(begun)))
		}
		if !strings.Contains(string(body), "101") {
			t.Fatalf("%s", body)
		}
	}
	z := mannWhitney(took[0], took[1])
	p := math.Erfc(math.Abs(z) / math.Sqrt2)
	slices.Sort(took[0])
	slices.Sort(took[1])
	t.Logf("another's: median %v; nobody's: median %v; z = %.2f, p = %.3f", time.Duration(took[0][calls/2]), time.Duration(took[1][calls/2]), z, p)
	if p < .001 {
		t.Error("they can be told apart")
	}
}

// mannWhitney is the z value of the U test, for many values without ties to speak of.
func mannWhitney(a, b []float64) float64 {
	type value struct {
		v  float64
		of int
	}
	var all []value
	for _, v := range a {
		all = append(all, value{v, 0})
	}
	for _, v := range b {
		all = append(all, value{v, 1})
	}
	slices.SortFunc(all, func(x, y value) int { return cmp.Compare(x.v, y.v) })
	ranks := 0.0
	for i, v := range all {
		if v.of == 0 {
			ranks += float64(i + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := ranks - n*(n+1)/2
	return (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
}

// startedBy is a request that has started a verification.
func startedBy(caller, id string) ledger.Observation {
	answer := wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success, RequestID: id}}}
	return ledger.Observation{Call: &wire.Call{Operation: wire.Request, Caller: caller}, Answer: &answer, Country: "other"}
}
