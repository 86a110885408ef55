package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Outgoing is one HTTP request.
type Outgoing struct {
	// Template is what it has in common with others; what it points to is shared, and not
	// written to. By GET there is no body.
	Template *http.Request
	// URL and Header take the place of the template's; nil for these.
	URL    *url.URL
	Header http.Header
	Body   string
}

// Received is what came of it.
type Received struct {
	// Code and ContentType are those of an answer; 0 and "" where there is none.
	Code        int
	ContentType string
	// Body is an answer's, as far as it was read.
	Body []byte

	length int64 // as announced, or as read
	whole  bool
	failed *wire.Answer
}

// Exchange sends a request once, within the deadline of ctx, and reads the answer to its
// end.
func Exchange(ctx context.Context, transport http.RoundTripper, o Outgoing) Received {
	r, s := o.request(ctx)
	response, err := transport.RoundTrip(r)
	for err != nil && o.Template.Method == http.MethodGet && s.unwritten(err) && ctx.Err() == nil {
		r, s = o.request(ctx)
		response, err = transport.RoundTrip(r)
	}
	if err != nil {
		answer := s.unanswered(ctx, err)
		return Received{failed: &answer}
	}
	defer response.Body.Close()
	return s.receive(ctx, response)
}

// receive reads what came back, and tells what hinders it from being an answer, whatever
// the API.
func (s *sending) receive(ctx context.Context, response *http.Response) Received {
	r := Received{
		Code: response.StatusCode, ContentType: response.Header.Get("Content-Type"),
		length: min(max(response.ContentLength, 0), wire.MaxAnswer+1), // a longer one could be any number
	}
	because := func(cause wire.Cause, reason wire.Reason) Received {
		answer := r.Useless(&wire.Fault{Cause: cause, Reason: reason, MayHaveSent: true})
		r.failed = &answer
		return r
	}
	if !carriesAnswer(r.Code) {
		return because(wire.AnswerUnreadable, wire.ReasonCode)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return because(wire.AnswerUnreadable, wire.ReasonEncoding)
	}
	if response.ContentLength > wire.MaxAnswer {
		return because(wire.AnswerTooLarge, "")
	}
	var err error
	r.Body, err = readBody(response)
	r.length = int64(len(r.Body))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return because(wire.UpstreamTimeout, wire.ReasonSlowAnswer)
	case ctx.Err() != nil && err != nil:
		answer := r.Withheld(&wire.Fault{Cause: wire.ClientLeft, MayHaveSent: true})
		r.failed = &answer
		return r
	case err != nil:
		answer := r.Useless(s.lost(err))
		r.failed = &answer
		return r
	case len(r.Body) > wire.MaxAnswer:
		return because(wire.AnswerTooLarge, "")
	}
	r.whole = true
	return r
}

// Failed is what to say where no whole answer came.
func (r *Received) Failed() (wire.Answer, bool) {
	if r.failed == nil {
		return wire.Answer{}, false
	}
	return *r.failed, true
}

// Withheld says in place of what came that it is not passed on.
func (r *Received) Withheld(fault *wire.Fault) wire.Answer {
	fault.UpstreamCode, fault.UpstreamType, fault.UpstreamLength = r.Code, mediaType(r.ContentType), r.length
	fault.UpstreamWhole = r.whole
	return fault.Answer()
}

// Useless says the same of what is no answer of the API. A 4xx says by its code whose
// trouble it is, whatever its body is like.
func (r *Received) Useless(fault *wire.Fault) wire.Answer {
	switch {
	case r.Code == http.StatusUnauthorized, r.Code == http.StatusForbidden:
		fault = &wire.Fault{Cause: wire.UpstreamUnauthorized, Reason: fault.Reason}
	case r.Code == http.StatusTooManyRequests:
		fault = &wire.Fault{Cause: wire.UpstreamThrottled}
	case r.Code/100 == 4:
		fault.Cause = wire.UpstreamError
	}
	return r.Withheld(fault)
}

// carriesAnswer tells the HTTP status codes with which an answer can be passed on whole:
// those of HTTP, but for the informational ones and 205, which have no body.
func carriesAnswer(code int) bool {
	return code >= 200 && code <= 599 && code != http.StatusResetContent
}

func readBody(response *http.Response) ([]byte, error) {
	if n := response.ContentLength; n >= 0 {
		body := make([]byte, n)
		n, err := io.ReadFull(response.Body, body)
		return body[:n], err
	}
	return io.ReadAll(io.LimitReader(response.Body, wire.MaxAnswer+1))
}

// unanswered tells why no answer came. The error's own text is not kept: it may
// hold a URL.
func (s *sending) unanswered(ctx context.Context, err error) wire.Answer {
	var fault *wire.Fault
	connected := s.connected.Load()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		fault = &wire.Fault{Cause: wire.UpstreamTimeout, Reason: s.waitedFor(), MayHaveSent: connected}
	case ctx.Err() != nil:
		fault = &wire.Fault{Cause: wire.ClientLeft, MayHaveSent: connected}
	case connected:
		fault = s.lost(err)
	default:
		fault = s.unconnected(err)
	}
	return fault.Answer()
}
