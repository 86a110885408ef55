// Package upstream sends calls to the Verify API. It is the only code that
// holds the secret and touches the network.
package upstream

import (
	"context"
	"errors"
	"net/http"
	"strconv"

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
	received := Exchange(ctx, c.Transport, c.outgoing(ctx, call, method))
	if answer, failed := received.Failed(); failed {
		return answer
	}
	return c.read(call, &received)
}

// outgoing builds the upstream request from nothing but the call.
func (c *Client) outgoing(ctx context.Context, call *wire.Call, method string) Outgoing {
	credentials := c.credentialsFor(wire.AttemptOf(ctx))
	form := string(append(call.AppendForm(make([]byte, 0, 256)), credentials.parameters[method]...))
	o := Outgoing{Template: credentials.requests[method][call.Operation][call.Format]}
	if method != http.MethodGet {
		o.Body = form
		return o
	}
	target := *o.Template.URL
	target.RawQuery = form
	o.URL = &target
	return o
}

// read checks what came back, and passes it on as it is or not at all.
func (c *Client) read(call *wire.Call, received *Received) wire.Answer {
	code, contentType, body := received.Code, received.ContentType, received.Body
	because := func(cause wire.Cause, reason wire.Reason, err error) wire.Answer {
		return received.Useless(&wire.Fault{Cause: cause, Reason: reason, MayHaveSent: true, Err: err})
	}
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
		return received.Withheld(&wire.Fault{Cause: wire.AnswerWithSecret, MayHaveSent: true})
	}
	return wire.Answer{Code: code, ContentType: contentType, Relabelled: relabelled, Body: body, Reading: reading}
}

func reasonOf(err error) wire.Reason {
	if fault, ok := errors.AsType[*wire.Fault](err); ok {
		return fault.Reason
	}
	return wire.ReasonOther
}
