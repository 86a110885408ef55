package caddyverify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// ServeHTTP answers the calls of the Verify API. It returns no error for them:
// Caddy would log it with the query, and so with numbers and codes.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if !strings.HasPrefix(r.URL.Path, wire.Prefix) {
		return next.ServeHTTP(w, r)
	}
	operation, format, found := wire.ParsePath(r.URL.Path)
	var answer wire.Answer
	if found && r.URL.RawPath == "" {
		answer = h.answer(r, operation, format)
	} else {
		answer = wire.Refuse(wire.UnknownPath, "").Answer()
	}
	if answer.Fault != nil {
		h.log(r.Context(), operation, answer)
		answer = wire.Say(answer.Fault, operation, format, h.Errors == errorsHTTP)
	}
	write(w, answer)
	return nil
}

// answer takes one call all the way. What fails on the way is an answer too.
func (h *Handler) answer(r *http.Request, o wire.Operation, f wire.Format) wire.Answer {
	call, err := wire.Parse(o, f, r)
	if err != nil {
		return asAnswer(err)
	}
	return h.client.Send(upstreamContext(r, o), call)
}

// asAnswer turns the error of a step that gives up on a call into its answer.
func asAnswer(err error) wire.Answer {
	fault := new(wire.Fault)
	if !errors.As(err, &fault) {
		fault = &wire.Fault{Cause: wire.AnswerUnreadable, MayHaveSent: true, Err: err}
	}
	return fault.Answer()
}

// upstreamContext is the context of the upstream call. A client that leaves ends
// a search; anything else goes on, since it may be done already.
func upstreamContext(r *http.Request, o wire.Operation) context.Context {
	ctx := r.Context()
	if !o.Repeatable() {
		ctx = context.WithoutCancel(ctx)
	}
	// The transport notes in the request's variables that it used a proxy. They
	// are a plain map, and an upstream call may outlive its request.
	return context.WithValue(ctx, caddyhttp.VarsCtxKey, nil)
}

// write sends an answer to the client.
func write(w http.ResponseWriter, answer wire.Answer) {
	header := w.Header()
	header.Set("Content-Type", answer.ContentType)
	header.Set("Content-Length", strconv.Itoa(len(answer.Body)))
	// Answers hold codes and numbers, and each is true for its moment only.
	header.Set("Cache-Control", "private, no-store")
	if fault := answer.Fault; fault != nil {
		header.Set("Proxy-Status", "caddy-verify; error="+fault.ProxyError()+`; details="`+string(fault.Cause)+`"`)
		if fault.Cause == wire.MethodNotAllowed {
			header.Set("Allow", "GET, POST")
		}
		if fault.RetryAfter > 0 {
			seconds := (fault.RetryAfter + time.Second - 1) / time.Second
			header.Set("Retry-After", strconv.Itoa(int(seconds)))
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body) // a client that left has nothing to be told
}

// log notes an answer that the gateway had to give by itself.
func (h *Handler) log(ctx context.Context, o wire.Operation, answer wire.Answer) {
	level := slog.LevelDebug
	if answer.Fault.Trouble() {
		level = slog.LevelError
	}
	h.logger.LogAttrs(ctx, level, "answered by the gateway",
		slog.String("operation", o.String()),
		slog.String("status", string(answer.Status)),
		slog.String("cause", string(answer.Fault.Cause)))
}
