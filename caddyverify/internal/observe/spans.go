package observe

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const scope = "github.com/caddyverify/caddy-verify/caddyverify"

// Origin is what spans want to know of the request that a later call is about.
type Origin struct {
	Span    trace.SpanContext
	Country string
}

// Attribute describes an attribute of the gateway's own.
type Attribute struct{ Name, Spans, Meaning string }

// Attributes lists those that are not of the semantic conventions.
var Attributes = []Attribute{
	{"verify.operation", "server, client", "request, check, search, control, psd2 or templates"},
	{"verify.status", "server, client", "Verify's status: a number, or a search's word; not on lists"},
	{"verify.request_id", "server, client", "the verification; REDACTED if it is no id such as the API gives, but could be a phone number or code in the wrong place"},
	{"verify.request_ids", "server, client", "the verifications of a search by request_ids"},
	{"verify.country", "server, client", "where the verification goes to, as in metrics"},
	{"verify.caller", "server, client", "who calls, as the configuration or Caddy's authentication names him"},
	{"verify.cache", "server", "hit, miss, partial, stale or bypass"},
	{"verify.cache.collapsed", "server", "the search shared a call that another one had begun"},
	{"verify.delivery", "server", "sent, shared or replayed"},
	{"verify.breaker", "server, client", "the state of the circuit: closed, open or half_open"},
	{"verify.cause", "server", "why the gateway answered by itself"},
	{"verify.reason", "server, client", "more of the cause, as in failures.md"},
	{"verify.upstream.content_type", "client", "the media type of what was no answer: a well-known one, none or other"},
	{"verify.link.operation", "links", "request: the link leads to the verification's request"},
}

func describe(o wire.Operation, call *wire.Call, origins []Origin) []attribute.KeyValue {
	attributes := []attribute.KeyValue{attribute.String("verify.operation", o.String())}
	if call != nil {
		if call.Caller != "" {
			attributes = append(attributes, attribute.String("verify.caller", call.Caller))
		}
		ids, list := IDs(call)
		if list {
			attributes = append(attributes, attribute.StringSlice("verify.request_ids", ids))
		} else if len(ids) == 1 {
			attributes = append(attributes, attribute.String("verify.request_id", ids[0]))
		}
	}
	if len(origins) == 1 && origins[0].Country != "" {
		attributes = append(attributes, attribute.String("verify.country", origins[0].Country))
	}
	return attributes
}

// IDs are the verifications that a call is about, as they may be shown. list tells that
// it asked for a list.
func IDs(call *wire.Call) (ids []string, list bool) {
	ids, list = call.IDs()
	if id := call.RequestID(); id != "" {
		ids = []string{id}
	}
	for i, id := range ids {
		ids[i] = wire.RedactID(id)
	}
	return ids, list
}

func links(origins []Origin) []trace.Link {
	var all []trace.Link
	for _, origin := range origins {
		if origin.Span.IsValid() {
			all = append(all, trace.Link{
				SpanContext: origin.Span,
				Attributes:  []attribute.KeyValue{attribute.String("verify.link.operation", "request")},
			})
		}
	}
	return all
}

// Recording tells whether there is a span in ctx that anyone will see.
func Recording(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// RedactPath takes what a client wrote out of the path on the span that Caddy's
// tracing began.
func RedactPath(ctx context.Context, path string) {
	trace.SpanFromContext(ctx).SetAttributes(semconv.URLPath(wire.RedactURI(path)))
}

// Server says on the span of the client's call, which Caddy's tracing began, what
// became of it.
type Server struct {
	Method    string
	Call      *wire.Call // nil where it could not be read
	Operation wire.Operation
	// Route is the path, with what differs left open.
	Route     string
	Origins   []Origin
	Cache     wire.CacheResult
	Delivery  wire.DeliverySource
	Breaker   wire.CircuitState
	Collapsed bool
}

// Record writes it down, and what was answered.
func (s *Server) Record(ctx context.Context, answer *wire.Answer) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetName(method(s.Method) + " " + s.Route)
	span.SetAttributes(semconv.HTTPRoute(s.Route))
	span.SetAttributes(describe(s.Operation, s.Call, s.Origins)...)
	for _, word := range [...]attribute.KeyValue{
		attribute.String("verify.cache", string(s.Cache)),
		attribute.String("verify.delivery", string(s.Delivery)),
		attribute.String("verify.breaker", string(s.Breaker)),
	} {
		if word.Value.AsString() != "" {
			span.SetAttributes(word)
		}
	}
	if s.Collapsed {
		span.SetAttributes(attribute.Bool("verify.cache.collapsed", true))
	}
	if answer.Fault != nil {
		span.SetAttributes(attribute.String("verify.cause", string(answer.Fault.Cause)))
		reason(span, answer.Fault)
	}
	for _, link := range links(s.Origins) {
		span.AddLink(link)
	}
	said(span, s.Operation, answer)
	// As with HTTP's 4xx, what a client did wrong is no error of the server.
	if Trouble(answer) {
		fail(span, answer)
	}
}

// method is a span name's first word. Whatever HTTP does not define may be any text
// of a client, and is HTTP by the semantic conventions.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodPost, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "HTTP"
}

// said notes an answer's status, and the verification that a request started.
func said(span trace.Span, o wire.Operation, answer *wire.Answer) {
	if answer.Status != "" && !answer.List {
		span.SetAttributes(attribute.String("verify.status", string(answer.Status)))
	}
	if o.Starts() && answer.RequestID != "" {
		span.SetAttributes(attribute.String("verify.request_id", wire.RedactID(answer.RequestID)))
	}
}

func reason(span trace.Span, fault *wire.Fault) {
	if fault.Reason != "" {
		span.SetAttributes(attribute.String("verify.reason", string(fault.Reason)))
	}
}

func fail(span trace.Span, answer *wire.Answer) {
	span.SetStatus(codes.Error, "")
	span.SetAttributes(attribute.String(string(semconv.ErrorTypeKey), ErrorType(answer)))
}

// Client is the span of one call to the upstream.
type Client struct {
	span trace.Span
	call *wire.Call
}

// StartClient begins the span of an attempt at a call to the upstream at base. It is for
// calls whose span in ctx is recorded; the Client of others is the zero Client.
func StartClient(ctx context.Context, base *url.URL, to Target, call *wire.Call, breaker wire.CircuitState, origins []Origin) Client {
	parent := trace.SpanFromContext(ctx)
	// What the query may hold, numbers, codes and credentials, is no span's business.
	target := *base
	target.Path += to.Path
	attributes := append(describe(call.Operation, call, origins),
		semconv.HTTPRequestMethodKey.String(to.Method),
		semconv.ServerAddress(base.Hostname()),
		semconv.ServerPort(port(base)),
		semconv.URLFull(target.String()),
		semconv.URLTemplate(to.Template),
	)
	if attempt := wire.AttemptOf(ctx); attempt.Resend > 0 {
		attributes = append(attributes, semconv.HTTPRequestResendCount(attempt.Resend))
	}
	if breaker != "" {
		attributes = append(attributes, attribute.String("verify.breaker", string(breaker)))
	}
	_, span := parent.TracerProvider().Tracer(scope).Start(ctx, to.Method+" "+to.Template,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...), trace.WithLinks(links(origins)...))
	return Client{span, call}
}

// End ends the span with what came back.
func (c Client) End(answer *wire.Answer) {
	if c.span == nil {
		return
	}
	code := answer.Code
	if answer.Fault != nil {
		code = answer.Fault.UpstreamCode
		reason(c.span, answer.Fault)
		if media := answer.Fault.UpstreamType; media != "" {
			c.span.SetAttributes(attribute.String("verify.upstream.content_type", media), semconv.HTTPResponseBodySize(int(answer.Fault.UpstreamLength)))
		}
	} else {
		said(c.span, c.call.Operation, answer)
	}
	if code != 0 {
		c.span.SetAttributes(semconv.HTTPResponseStatusCode(code))
	}
	if IsError(c.call.Operation, answer) {
		fail(c.span, answer)
	}
	c.span.End()
}

func port(u *url.URL) int {
	if n, err := strconv.Atoi(u.Port()); err == nil {
		return n
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}
