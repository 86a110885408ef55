package caddyverify

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// versioned is a gateway at one version of the API, and the time that it has taken.
type versioned struct {
	*Handler
	canned *canned
	answer string // to a request, with a place for its id
	took   time.Duration
}

// timed has a call served and its time counted.
func (v *versioned) timed(b *testing.B, call benchCall) {
	v.canned.answer = call.answer
	w := &nobody{http.Header{}}
	r := httptest.NewRequest(call.method, call.path+"?"+call.query, strings.NewReader(call.body))
	if call.body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
	begin := time.Now()
	err := v.ServeHTTP(w, r, nil)
	v.took += time.Since(begin)
	if err != nil || w.header.Get("Proxy-Status") != "" {
		b.Fatal(err, w.header)
	}
}

// start is a request of a number of its own.
func (v *versioned) start(n int) benchCall {
	call := benchRequest
	call.body = fmt.Sprintf("number=%d&brand=Acme", 447400000000+n)
	call.answer = fmt.Sprintf(v.answer, n)
	return call
}

// newVersions are gateways at both versions, with a network between them and a provider that answers at once, or without.
func newVersions(b *testing.B, network bool) (both [2]*versioned) {
	private, _ := applicationKey()
	b.Setenv("BENCH_PRIVATE_KEY", private)
	for i, answer := range []string{`{"request_id":"cc121958d8fb4368aa3b%012d","status":"0"}`, `{"request_id":"cc121958-d8fb-4368-aa3b-%012d"}`} {
		v := &versioned{canned: new(canned), answer: answer}
		v.Handler = newBench(b, func(h *Handler) {
			if i == 1 {
				h.API, h.Application, h.PrivateKey = apiV2, testApplication, "{env.BENCH_PRIVATE_KEY}"
			}
			if h.roundTripper = v.canned; network {
				provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, v.canned.answer)
				}))
				b.Cleanup(provider.Close)
				h.Upstream, h.roundTripper = provider.URL, nil
			}
		})
		both[i] = v
	}
	return both
}

// BenchmarkVersions is what a call costs with version 2 of the API, as a ratio to what it costs with version 1: both
// take turns, so that a busy machine is busy for both.
func BenchmarkVersions(b *testing.B) {
	hit := benchSearch("cc121958d8fb4368aa3b000000000000")
	hit.answer = strings.Replace(hit.answer, `"SUCCESS"`, `"`+string(wire.InProgress)+`"`, 1)
	for _, bench := range []struct {
		name    string
		network bool
		call    func(v *versioned, n int) benchCall
	}{
		{"hit", false, func(*versioned, int) benchCall { return hit }},
		{"request", false, (*versioned).start},
		{"request/network", true, (*versioned).start},
	} {
		b.Run(bench.name, func(b *testing.B) {
			both := newVersions(b, bench.network)
			for _, v := range both {
				v.timed(b, v.start(0))
				v.timed(b, bench.call(v, 0))
				v.took = 0
			}
			b.ResetTimer()
			for n := range b.N {
				for _, v := range both {
					v.timed(b, bench.call(v, n+1))
				}
			}
			b.StopTimer()
			each := func(v *versioned) float64 { return float64(v.took.Nanoseconds()) / float64(b.N) }
			b.ReportMetric(each(both[0]), "ns-v1/op")
			b.ReportMetric(each(both[1]), "ns-v2/op")
			b.ReportMetric(each(both[1])/each(both[0]), "v2/v1")
			b.ReportMetric(0, "ns/op")
		})
	}
}
