package caddyverify

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// canned answers every call upstream at once with the same bytes.
type canned string

func (c canned) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.WriteString(string(c))
	return w.Result(), nil
}

// BenchmarkTelemetry is the cost of a call with no span around it, with one that
// is not sampled, and with one that is recorded. Metrics are always on.
func BenchmarkTelemetry(b *testing.B) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: context.Background()})
	defer cancel()
	h := &Handler{
		Credentials: &Credentials{APIKey: testKey, APISecret: testSecret},
		Limit:       -1,
		Cache:       &Cache{InProgress: caddy.Duration(time.Hour)},
	}
	if err := h.Provision(ctx); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = h.Cleanup() }()
	h.logger = slog.New(slog.DiscardHandler)
	const id = "cc121958d8fb4368aa3bb762bb9a0f74"
	tracers := map[string]trace.Tracer{
		"off":       noop.NewTracerProvider().Tracer(""),
		"unsampled": sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())).Tracer(""),
		"recorded":  sdktrace.NewTracerProvider().Tracer(""),
	}
	for name, call := range map[string]struct {
		answer canned
		target string
	}{
		"hit":    {canned(`{"request_id":"` + id + `","status":"IN PROGRESS"}`), wire.Path(wire.Search, wire.JSON) + "?request_id=" + id},
		"passed": {`{"status":"16","error_text":"The code provided does not match the expected value"}`, wire.Path(wire.Check, wire.JSON) + "?code=1234&request_id=" + id},
	} {
		for _, spans := range []string{"off", "unsampled", "recorded"} {
			b.Run(fmt.Sprintf("%s/spans=%s", name, spans), func(b *testing.B) {
				h.client.Transport = call.answer
				w := httptest.NewRecorder()
				b.ReportAllocs()
				for b.Loop() {
					ctx, span := tracers[spans].Start(context.Background(), "handler")
					if err := h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, call.target, nil), nil); err != nil {
						b.Fatal(err)
					}
					span.End()
					w.Body.Reset()
				}
			})
		}
	}
}
