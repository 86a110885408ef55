package caddyverify

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/nyaruka/phonenumbers"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// canned answers every call upstream at once with the same bytes.
type canned struct{ answer string }

func (c *canned) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode:    http.StatusOK,
		Header:        http.Header{"Content-Type": {"application/json"}},
		ContentLength: int64(len(c.answer)),
		Body:          io.NopCloser(strings.NewReader(c.answer)),
	}, nil
}

// nobody takes an answer as cheaply as can be.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}
func (n *nobody) Flush()                      {}

// benchCall is a call and what the upstream answers to it.
type benchCall struct {
	method, path, query, body, answer string
}

const benchID = "cc121958d8fb4368aa3bb762bb9a0f74"

func benchState(id string) string {
	return `{"request_id":"` + id + `","account_id":"abcdef01","status":"SUCCESS","number":"447700900000",` +
		`"price":"0.10000000","currency":"EUR","sender_id":"Acme Inc","date_submitted":"2020-01-01 12:00:00",` +
		`"date_finalized":"2020-01-01 12:00:30","checks":[{"date_received":"2020-01-01 12:00:30","code":"1234",` +
		`"status":"VALID","ip_address":""}],"first_event_date":"2020-01-01 12:00:00","last_event_date":"2020-01-01 12:00:00",` +
		`"events":[{"type":"sms","id":"0A00000012345678"}],"estimated_price_messages_sent":"0.03330000"}`
}

func benchSearch(ids ...string) benchCall {
	call := benchCall{method: http.MethodGet, path: wire.Path(wire.Search, wire.JSON)}
	if len(ids) == 1 {
		call.query, call.answer = "request_id="+ids[0], benchState(ids[0])
		return call
	}
	var states []string
	for _, id := range ids {
		states = append(states, benchState(id))
	}
	call.query = "request_ids=" + strings.Join(ids, "&request_ids=")
	call.answer = `{"verification_requests":[` + strings.Join(states, ",") + "]}"
	return call
}

var (
	benchRequest = benchCall{
		method: http.MethodPost, path: wire.Path(wire.Request, wire.JSON), body: "number=447400123456&brand=Acme",
		answer: `{"request_id":"` + benchID + `","status":"0"}`,
	}
	benchCheck = benchCall{
		method: http.MethodPost, path: wire.Path(wire.Check, wire.JSON), body: "request_id=" + benchID + "&code=1234",
		answer: `{"request_id":"` + benchID + `","event_id":"0A00000012345678","status":"0","price":"0.10000000",` +
			`"currency":"EUR","estimated_price_messages_sent":"0.03330000"}`,
	}
)

// newBench is a gateway without a network, whose cache lets nothing expire. It
// keeps no limit, which would be measured in place of the work.
func newBench(b *testing.B, configure ...func(*Handler)) *Handler {
	h := &Handler{
		Account: Account{
			Credentials: &Credentials{APIKey: testKey, APISecret: "{env.BENCH_SECRET}"},
			Limit:       -1,
			Cache:       &Cache{Settling: caddy.Duration(time.Hour), MaxEntries: 1 << 21, MaxBytes: 4 << 30},
		},

		roundTripper: new(canned),
	}
	b.Setenv("BENCH_SECRET", testSecret)
	for _, change := range configure {
		change(h)
	}
	if err := inForce(b, h); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Cleanup() })
	h.gateway.Logger = slog.New(slog.DiscardHandler)
	return h
}

// unused is an account that nothing is asked of.
type unused struct{}

func (unused) Destruct() error { return nil }

// benchServe has the handler answer one call.
func benchServe(b *testing.B, h *Handler, call benchCall) {
	h.roundTripper.(*canned).answer = call.answer
	w := &nobody{http.Header{}}
	r := httptest.NewRequest(call.method, call.path+"?"+call.query, strings.NewReader(call.body))
	if call.body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if err := h.ServeHTTP(w, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil), nil); err != nil {
		b.Fatal(err)
	}
}

// serve measures the handler alone, from requests as Caddy prepares them to answers
// that nobody reads. ctx may have a span.
func serve(b *testing.B, h *Handler, begin func() (context.Context, func()), calls ...benchCall) {
	w := &nobody{http.Header{}}
	bodies := make([]*strings.Reader, len(calls))
	requests := make([]*http.Request, len(calls))
	for i, call := range calls {
		h.roundTripper.(*canned).answer = call.answer
		bodies[i] = strings.NewReader(call.body)
		requests[i] = httptest.NewRequest(call.method, call.path+"?"+call.query, nil)
		requests[i].SetBasicAuth("app", "none")
		if call.body != "" {
			requests[i].Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		requests[i] = caddyhttp.PrepareRequest(requests[i], caddy.NewReplacer(), w, nil)
		if call.method == http.MethodGet { // brings it into memory
			if err := h.ServeHTTP(w, requests[i], nil); err != nil || w.header.Get("Cache-Status") == "" {
				b.Fatal(err, w.header)
			}
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		i %= len(calls)
		r := requests[i]
		end := func() {}
		if begin != nil {
			var ctx context.Context
			ctx, end = begin()
			r = r.WithContext(ctx)
		}
		if calls[i].body != "" {
			bodies[i].Reset(calls[i].body)
			r.Body, r.ContentLength = io.NopCloser(bodies[i]), int64(len(calls[i].body))
		}
		clear(w.header)
		if err := h.ServeHTTP(w, r, nil); err != nil {
			b.Fatal(err)
		}
		end()
	}
	b.StopTimer()
	if w.header.Get("Proxy-Status") != "" {
		b.Fatal(w.header)
	}
}

// BenchmarkServe is the gateway's own part of each way that a call may take.
func BenchmarkServe(b *testing.B) {
	var ids []string
	for i := range wire.MaxIDs {
		ids = append(ids, benchID[:30]+strconv.Itoa(10+i))
	}
	for name, call := range map[string]benchCall{
		"hit": benchSearch(benchID), "hit10": benchSearch(ids...), "request": benchRequest, "check": benchCheck,
	} {
		b.Run(name, func(b *testing.B) { serve(b, newBench(b), nil, call) })
	}
}

// BenchmarkSpans is the cost of a call with no span around it, with one that is not
// sampled, and with one that is recorded.
func BenchmarkSpans(b *testing.B) {
	tracers := map[string]trace.Tracer{
		"off":       noop.NewTracerProvider().Tracer(""),
		"unsampled": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer(""),
		"recorded":  sdktrace.NewTracerProvider().Tracer(""),
	}
	for name, call := range map[string]benchCall{"hit": benchSearch(benchID), "check": benchCheck} {
		for _, spans := range []string{"off", "unsampled", "recorded"} {
			b.Run(name+"/spans="+spans, func(b *testing.B) {
				serve(b, newBench(b), func() (context.Context, func()) {
					ctx, span := tracers[spans].Start(context.Background(), "handler")
					return ctx, func() { span.End() }
				}, call)
			})
		}
	}
}

// BenchmarkGrowth shows that what a call costs does not grow with what the gateway
// holds.
func BenchmarkGrowth(b *testing.B) {
	id := func(i int) string { return fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15) }
	for _, n := range []int{1e2, 1e4, 1e5} {
		b.Run(fmt.Sprintf("hit/entries=%d", n), func(b *testing.B) {
			h := newBench(b)
			for i := range n {
				benchServe(b, h, benchSearch(id(i)))
			}
			var calls []benchCall
			for i := range 1 << 12 {
				calls = append(calls, benchSearch(id(i*251%n)))
			}
			serve(b, h, nil, calls...)
		})
		b.Run(fmt.Sprintf("check/verifications=%d", n), func(b *testing.B) {
			h := newBench(b)
			for i := range n {
				start := benchRequest
				start.body = fmt.Sprintf("number=%d&brand=Acme", 447400000000+i)
				start.answer = `{"request_id":"` + id(i) + `","status":"0"}`
				benchServe(b, h, start)
			}
			serve(b, h, nil, benchCheck)
		})
		b.Run(fmt.Sprintf("check/accounts=%d", n), func(b *testing.B) {
			for i := range n {
				key := strconv.Itoa(i)
				_, _, _ = accounts.LoadOrNew(key, func() (caddy.Destructor, error) { return unused{}, nil })
				defer func() { _, _ = accounts.Delete(key) }()
			}
			serve(b, newBench(b), nil, benchCheck)
		})
	}
	// Labels are from bounded lists: no traffic makes more series than these.
	all := slices.Collect(func(yield func(string) bool) {
		for region := range phonenumbers.GetSupportedRegions() {
			if len(region) == 2 && !yield(region) {
				return
			}
		}
	})
	for _, n := range []int{1, 50, len(all)} {
		b.Run(fmt.Sprintf("request/countries=%d", n), func(b *testing.B) {
			serve(b, newBench(b, func(h *Handler) { h.Countries = append([]string{"GB"}, all[:n-1]...) }), nil, benchRequest)
		})
	}
}
