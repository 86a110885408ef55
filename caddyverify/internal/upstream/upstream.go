// Package upstream sends calls to the Verify API. It is the only code that
// holds the secret and touches the network.
package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Auth is where the credentials go in a call.
type Auth string

// The ways the Verify API has taken credentials over the years. Basic is the
// provider's present form, and the only one that keeps them out of URLs and
// bodies.
const (
	Basic Auth = "basic"
	Query Auth = "query"
	Body  Auth = "body"
)

// Config is what a Client needs; all without a default is required.
type Config struct {
	// URL is what the paths of the API are appended to, such as
	// https://api.nexmo.com.
	URL string
	// Key and Secret are the account's credentials.
	Key    string
	Secret Secret
	// Next is the account's other secret, for attempts that ask for it; none by default.
	Next Secret
	// Live are the secrets that no answer may hold, these among them. By default it is
	// these alone.
	Live   *Live
	Auth   Auth
	Method Method
	// Methods is shared by the clients of an upstream.
	Methods *Methods
	// Transport makes the exchange: an http.Transport, or what ends in one. It must
	// report its connections to httptrace, and speak HTTP/2 over TLS only.
	Transport http.RoundTripper
}

// Client sends calls with the account's credentials. It never changes: other secrets are
// another Client's.
type Client struct {
	Config
	first, next *credentials // next is nil without Next
}

// New returns a Client.
func New(config Config) (*Client, error) {
	if config.Live == nil {
		config.Live = new(Live)
		config.Live.Add(config.Secret, config.Next)
	}
	c := &Client{Config: config}
	var err error
	if c.first, err = c.credentialsWith(config.Secret); err != nil {
		return nil, err
	}
	if !config.Next.None() {
		c.next, err = c.credentialsWith(config.Next)
	}
	return c, err
}

// Send makes one call by GET or POST, once, within the deadline of ctx. What goes
// wrong is told by the answer's Fault.
func (c *Client) Send(ctx context.Context, call *wire.Call, method string) wire.Answer {
	r, s := c.request(ctx, call, method)
	response, err := c.Transport.RoundTrip(r)
	for err != nil && method == http.MethodGet && s.unwritten(err) && ctx.Err() == nil {
		r, s = c.request(ctx, call, method)
		response, err = c.Transport.RoundTrip(r)
	}
	if err != nil {
		return c.failed(ctx, err, s)
	}
	defer response.Body.Close()
	return c.read(ctx, call, response, s)
}

// read checks what came back, and passes it on as it is or not at all.
func (c *Client) read(ctx context.Context, call *wire.Call, response *http.Response, s *sending) wire.Answer {
	code, contentType := response.StatusCode, response.Header.Get("Content-Type")
	length := min(max(response.ContentLength, 0), wire.MaxAnswer+1) // a longer one could be any number
	whole := false
	withheld := func(fault *wire.Fault) wire.Answer {
		fault.UpstreamCode, fault.UpstreamType, fault.UpstreamLength = code, mediaType(contentType), length
		fault.UpstreamWhole = whole
		return fault.Answer()
	}
	// A 4xx says by its code whose trouble it is, whatever its body is like.
	useless := func(fault *wire.Fault) wire.Answer {
		switch {
		case code == http.StatusUnauthorized, code == http.StatusForbidden:
			fault = &wire.Fault{Cause: wire.UpstreamUnauthorized, Reason: fault.Reason}
		case code == http.StatusTooManyRequests:
			fault = &wire.Fault{Cause: wire.UpstreamThrottled}
		case code/100 == 4:
			fault.Cause = wire.UpstreamError
		}
		return withheld(fault)
	}
	because := func(cause wire.Cause, reason wire.Reason, err error) wire.Answer {
		return useless(&wire.Fault{Cause: cause, Reason: reason, MayHaveSent: true, Err: err})
	}
	if !carriesAnswer(code) {
		return because(wire.AnswerUnreadable, wire.ReasonCode, nil)
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return because(wire.AnswerUnreadable, wire.ReasonEncoding, nil)
	}
	if response.ContentLength > wire.MaxAnswer {
		return because(wire.AnswerTooLarge, "", nil)
	}
	body, err := readBody(response)
	length = int64(len(body))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return because(wire.UpstreamTimeout, wire.ReasonSlowAnswer, nil)
	case ctx.Err() != nil && err != nil:
		return withheld(&wire.Fault{Cause: wire.ClientLeft, MayHaveSent: true})
	case err != nil:
		return useless(s.lost(err))
	case len(body) > wire.MaxAnswer:
		return because(wire.AnswerTooLarge, "", nil)
	}
	whole = true
	reading, err := wire.Read(call.Operation, call.Format, body)
	switch {
	case err != nil:
	case reading.AboutAnother(call):
		err = wire.Unreadable(wire.ReasonOtherID, nil)
	case string(reading.Status) == strconv.Itoa(code):
		// The HTTP code in an error of some framework's own, such as RFC 9457's.
		err = wire.Unreadable(wire.ReasonNotVerify, nil)
	}
	switch {
	case code/100 == 3: // a redirect is never an answer
		return because(wire.UpstreamError, wire.ReasonRedirect, nil)
	case err == nil:
	case code/100 != 2:
		return because(wire.UpstreamError, reasonOf(err), nil)
	default:
		return because(wire.AnswerUnreadable, reasonOf(err), err)
	}
	relabelled := !wire.IsMediaType(call.Format, contentType)
	if relabelled {
		contentType = call.Format.ContentType()
	}
	if c.Live.In(body) || contentType != call.Format.ContentType() && c.Live.In([]byte(contentType)) {
		return withheld(&wire.Fault{Cause: wire.AnswerWithSecret, MayHaveSent: true})
	}
	return wire.Answer{Code: code, ContentType: contentType, Relabelled: relabelled, Body: body, Reading: reading}
}

// carriesAnswer tells the HTTP status codes with which an answer can be passed on whole:
// those of HTTP, but for the informational ones and 205, which have no body.
func carriesAnswer(code int) bool {
	return code >= 200 && code <= 599 && code != http.StatusResetContent
}

func reasonOf(err error) wire.Reason {
	if fault, ok := errors.AsType[*wire.Fault](err); ok {
		return fault.Reason
	}
	return wire.ReasonOther
}

func readBody(response *http.Response) ([]byte, error) {
	if n := response.ContentLength; n >= 0 {
		body := make([]byte, n)
		n, err := io.ReadFull(response.Body, body)
		return body[:n], err
	}
	return io.ReadAll(io.LimitReader(response.Body, wire.MaxAnswer+1))
}

// failed tells why no answer came. The error's own text is not kept: it may
// hold a URL.
func (c *Client) failed(ctx context.Context, err error, s *sending) wire.Answer {
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
