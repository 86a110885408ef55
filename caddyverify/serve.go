package caddyverify

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// exchange is one call and what became of it.
type exchange struct {
	operation wire.Operation
	format    wire.Format
	found     bool       // the path is that of a call
	call      *wire.Call // nil where it could not be read
	ignored   []string   // parameters left out, as they may be shown
	answer    wire.Answer

	// Of a search: what memory had, and the headers that tell of it.
	searched    bool // with the cache on
	result      search.Result
	cacheStatus string
	age         string

	// Of the others: where the answer came from, and what is to be told whether the
	// client got it.
	delivered wire.DeliverySource
	ack       delivery.Ack
}

// ServeHTTP answers the calls of the Verify API. It returns no error for them:
// Caddy would log it with the query, and so with numbers and codes.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !wire.IsOurs(r.URL.Path) {
		return next.ServeHTTP(w, r)
	}
	begun := time.Now()
	var x exchange
	got := false // by the client; what comes below may panic
	defer func() { x.end(got) }()
	x.operation, x.format, x.found = wire.ParsePath(r.URL.Path)
	x.found = x.found && r.URL.RawPath == ""
	switch {
	case !x.found:
		var fault *wire.Fault
		fault, x.operation, x.format = wire.NoSuchCall(r.URL.Path)
		x.answer = fault.Answer()
	case h.Browsers != browsersAllow && fromBrowser(r.Header):
		x.answer = wire.Refuse(wire.BrowserRefused, "").Answer()
	default:
		if x.operation != wire.Search {
			underWay.begin()
			defer underWay.end()
		}
		h.answer(r, &x)
	}
	if x.answer.Fault != nil {
		x.answer = wire.Say(x.answer.Fault, x.operation, x.format, h.Errors == errorsHTTP)
	}
	h.report(r, &x, time.Since(begun))
	// Whether the client has left is known before its answer is written, and from the
	// writing. After that a client may close in good order.
	here := r.Context().Err() == nil
	got = write(w, &x) == nil && here
	return nil
}

// end gives back what an answer holds, and tells whether the client got it.
func (x *exchange) end(got bool) {
	x.result.Release()
	if x.ack != nil {
		x.ack(got)
	}
}

// answer takes one call all the way. What fails on the way is an answer too.
func (h *Handler) answer(r *http.Request, x *exchange) {
	call, ignored, err := wire.Parse(x.operation, x.format, r, h.Strict)
	x.ignored = ignored
	if err != nil {
		x.answer = asAnswer(err)
		return
	}
	x.call = call
	ctx := r.Context()
	if x.operation == wire.Search {
		h.search(ctx, callerOf(r), call, x)
		return
	}
	key := r.Header.Get("Idempotency-Key")
	if len(key) > maxIdempotencyKey || len(r.Header["Idempotency-Key"]) > 1 {
		x.answer = wire.Refuse(wire.InvalidParameter, "Idempotency-Key").Answer()
		return
	}
	// Whatever comes back, what memory knows of this verification may be over, and
	// so may be what a search that is under way brings back.
	h.forget(call)
	var source wire.DeliverySource
	x.answer, source, x.ack = h.account.deduper.Deliver(ctx, delivery.Call{Call: call, Caller: callerOf(r), IdempotencyKey: key},
		h.delivers(context.WithoutCancel(ctx), call))
	if fault := x.answer.Fault; fault == nil || fault.MayHaveSent {
		x.delivered = source
	}
	if x.answer.Fault != nil && x.answer.Fault.Cause == wire.TooManyUnderWay {
		h.account.metrics.Refused(call.Operation, wire.TooManyUnderWay)
	}
	h.forget(call)
}

// maxIdempotencyKey is the longest key that a client may give a call, in bytes.
const maxIdempotencyKey = 255

// search answers from memory what memory has.
func (h *Handler) search(ctx context.Context, caller string, call *wire.Call, x *exchange) {
	cache := h.account.searchesKept()
	if cache == nil {
		x.answer = h.send(ctx, call)
		x.cacheStatus = search.Bypassed(&x.answer)
		return
	}
	x.searched = true
	x.answer, x.result = cache.Search(ctx, caller, call, h.fetch)
	x.cacheStatus = x.result.CacheStatus()
	if age, ok := x.result.AgeSeconds(); ok {
		x.age = strconv.FormatInt(age, 10)
	}
}

// callerOf tells whom answers are kept for: the user that one of Caddy's
// authentication handlers found, or "" for all others together.
func callerOf(r *http.Request) string {
	if replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer); ok {
		if user, ok := replacer.GetString("http.auth.user.id"); ok {
			return user
		}
	}
	return ""
}

// forget drops what memory knows of the verification that a check or control is
// about.
func (h *Handler) forget(call *wire.Call) {
	if id := call.RequestID(); id != "" {
		h.account.forget(id)
	}
}

// asAnswer turns the error of a step that gives up on a call into its answer.
func asAnswer(err error) wire.Answer {
	fault := new(wire.Fault)
	if !errors.As(err, &fault) {
		fault = &wire.Fault{Cause: wire.AnswerUnreadable, MayHaveSent: true, Err: err}
	}
	return fault.Answer()
}

// shortBody is how long a body may be for Go's servers to tell its Content-Length by
// themselves, at less cost. Longer ones would be sent in chunks.
const shortBody = 2048

// write sends an answer to the client. The error tells that it did not get there,
// as far as that can be known.
func write(w http.ResponseWriter, x *exchange) error {
	answer := &x.answer
	flush := x.operation.Starts() || x.operation == wire.Check // so that an error shows
	header := w.Header()
	values := make([]string, 0, 5) // Header.Set makes an array for each
	set := func(name, value string) {
		values = append(values, value)
		header[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if x.cacheStatus != "" {
		set("Cache-Status", x.cacheStatus)
	}
	if x.age != "" {
		set("Age", x.age)
	}
	set("Content-Type", answer.ContentType)
	if flush || len(answer.Body) > shortBody {
		set("Content-Length", strconv.Itoa(len(answer.Body)))
	}
	// Answers hold codes and numbers, and each is true for its moment only.
	set("Cache-Control", "private, no-store")
	if fault := answer.Fault; fault != nil {
		set("Proxy-Status", "caddy-verify; error="+fault.ProxyError()+`; details="`+string(fault.Cause)+`"`)
		if fault.Cause == wire.MethodNotAllowed {
			set("Allow", "GET, POST")
		}
		if fault.RetryAfter > 0 {
			seconds := (fault.RetryAfter + time.Second - 1) / time.Second
			set("Retry-After", strconv.Itoa(int(seconds)))
		}
	}
	w.WriteHeader(answer.Code)
	_, err := w.Write(answer.Body)
	if err == nil && flush {
		if err = http.NewResponseController(w).Flush(); errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	return err
}
