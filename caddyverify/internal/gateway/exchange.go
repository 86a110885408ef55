package gateway

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/delivery"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/search"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// exchange is one call of a client and what became of it.
type exchange struct {
	begun          time.Time
	operation      wire.Operation
	format         wire.Format
	route          string     // the path, with what differs left open
	found          bool       // the path is that of a call
	call           *wire.Call // nil where it could not be read
	sent           *wire.Call // the same, or what takes its place for an isolated caller
	caller         *caller.Caller
	entered        bool // among the caller's calls under way
	standIns       []standIn
	ignored        []string // parameters left out, as they may be shown
	idempotencyKey string
	answer         wire.Answer

	// Of a search: what memory had, and the header that tells of it.
	searched    bool // with the cache on
	result      search.Result
	cacheStatus string

	// Of the others: where the answer came from, what is to be told whether the client
	// got it, and what counts it while it is under way.
	delivered wire.DeliverySource
	ack       delivery.Ack
	running   *Running
	reserved  func() // gives back what keeps its repetition to the same account
}

// begin has the exchange counted while it is under way.
func (x *exchange) begin(running *Running) {
	running.begin()
	x.running = running
}

// end gives back what an answer holds, and tells whether the client received it.
func (x *exchange) end(received bool) {
	x.result.Release()
	if x.ack != nil {
		x.ack(received)
	}
	if x.reserved != nil {
		x.reserved()
	}
	if x.running != nil {
		x.running.end()
	}
	if x.entered {
		x.caller.Leave()
	}
}

// callerName is who calls, as far as is known.
func (x *exchange) callerName() string {
	if x.caller == nil {
		return ""
	}
	return x.caller.Name
}

// source is who gave the answer.
func (x *exchange) source() observe.Source {
	switch fault := x.answer.Fault; {
	case fault != nil && fault.Cause == wire.GuardRefused:
		return observe.FromGuard
	case fault != nil:
		return observe.FromGateway
	case x.searched && (x.result.Kind == wire.CacheHit || x.result.Kind == wire.CacheStale), x.delivered == wire.Replayed:
		return observe.FromMemory
	}
	return observe.FromUpstream
}

// cacheWord is what memory had for a search, as on spans and in logs.
func (x *exchange) cacheWord() wire.CacheResult {
	switch {
	case x.searched:
		return x.result.Kind
	case x.cacheStatus != "":
		return wire.CacheBypass
	}
	return ""
}

// cacheLabel is the same as in metrics, where a search that shared another's call is
// neither hit nor miss.
func (x *exchange) cacheLabel() wire.CacheResult {
	if x.searched {
		return x.result.Label()
	}
	return x.cacheWord()
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

// write sends an answer to the client. The error tells that it did not get there, as far
// as that can be known.
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
	if age, ok := x.result.AgeSeconds(); ok {
		set("Age", strconv.FormatInt(age, 10))
	}
	if answer.ContentType != "" {
		set("Content-Type", answer.ContentType)
	}
	if (flush || len(answer.Body) > shortBody) && answer.Code != http.StatusNoContent {
		set("Content-Length", strconv.Itoa(len(answer.Body)))
	}
	// Answers hold codes and numbers, and each is true for its moment only.
	set("Cache-Control", "private, no-store")
	if fault := answer.Fault; fault != nil {
		details := string(fault.Cause)
		if fault.Cause == wire.GuardRefused {
			details += ": " + string(fault.Reason)
		}
		set("Proxy-Status", "caddy-verify; error="+fault.ProxyError()+`; details="`+details+`"`)
		if fault.Cause == wire.MethodNotAllowed {
			set("Allow", cmp.Or(fault.Allow, "GET, POST"))
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
