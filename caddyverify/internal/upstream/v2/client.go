// Package v2 answers calls of Verify v1 from Verify v2: it is the innermost sender of an account
// that is there. What goes in is a call of v1, and what comes out is an answer as v1 gives it,
// with its statuses and its sentences, so that every step around it stays as it is.
//
// Sources, beside the OpenAPI document of Verify v2 (version 1.0.1): what SDKs and their recorded
// answers show of it. Where these differ, all of them are read.
package v2

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Config is what a Client needs; all but Next, Ref and Again is required.
type Config struct {
	// URL is what the paths of the API are appended to, such as https://api.nexmo.com.
	URL string
	// Key is the account's api_key, which answers to searches name.
	Key string
	// Auth puts the credentials into a request, and Next those of attempts that ask for the
	// other secret; by default these have the same.
	Auth, Next Authorizer
	// Live are the secrets that no answer may hold.
	Live *upstream.Live
	// Transport makes the exchange, as that of an upstream.Config does.
	Transport http.RoundTripper
	// Book is told of verifications, and answers searches.
	Book *state.Book
	// Ref is the client_ref of what a call starts, at most 40 letters and digits, by which
	// callbacks are told apart; by default there is none.
	Ref func(*wire.Call) string
	// Again waits until one more request may be made for a call, which must then be done at once;
	// may is false where that is not to be. By default it is at once.
	Again func(context.Context, *wire.Call) (refusal wire.Answer, may bool)
}

// Client sends calls with the account's credentials. It never changes.
type Client struct {
	Config
	base *url.URL
	// by HTTP's methods, what requests have in common.
	by map[string]*http.Request
}

// New returns a Client.
func New(config Config) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(config.URL, "/") + "/v2/verify")
	if err != nil {
		return nil, errors.New("the upstream is not a URL")
	}
	if config.Next == nil {
		config.Next = config.Auth
	}
	c := &Client{Config: config, base: base}
	c.by = map[string]*http.Request{}
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		c.by[method] = c.template(method)
	}
	for _, method := range []string{http.MethodPost, http.MethodPatch} {
		c.by[method].Header.Set("Content-Type", "application/json")
	}
	return c, nil
}

func (c *Client) template(method string) *http.Request {
	return &http.Request{
		Method: method,
		URL:    c.base,
		Host:   c.base.Host,
		Header: http.Header{
			"Accept":     {"application/json"},
			"User-Agent": {version.UserAgent()},
			// An answer must be read before it is passed on, and a compressed one can be
			// a bomb.
			"Accept-Encoding": {"identity"},
		},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
	}
}

// RoundTrip makes one attempt at a call. It is the last Sender on the way of a call. It sends
// a second time only where the provider has said that it has done nothing the first time.
func (c *Client) RoundTrip(ctx context.Context, call *wire.Call) wire.Answer {
	switch {
	case call.Operation == wire.Templates:
		return c.manage(ctx, call)
	case call.Raw != nil:
		return c.pass(ctx, call)
	case call.Operation == wire.Request:
		return c.start(ctx, call)
	}
	if answer, unsent := c.unsent(ctx, call); unsent {
		return answer
	}
	switch {
	case call.Operation == wire.Check:
		return c.check(ctx, call)
	case call.Operation == wire.Search:
		return c.probe(ctx, call)
	case call.Get("cmd") == cancel:
		return c.cancel(ctx, call)
	default:
		return c.trigger(ctx, call)
	}
}

// Step answers what is answered without the provider, so that it takes no slot of the account's
// and is not counted as sent: searches, and what v2 has no room for. RoundTrip does the same
// where this step is left out.
func (c *Client) Step(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		if answer, unsent := c.unsent(ctx, call); unsent {
			return answer
		}
		return next(ctx, call)
	}
}

// The commands of a control.
const (
	cancel  = "cancel"
	trigger = "trigger_next_event"
)

func (c *Client) unsent(ctx context.Context, call *wire.Call) (answer wire.Answer, unsent bool) {
	if call.Raw != nil {
		return answer, false
	}
	var fault *wire.Fault
	switch call.Operation {
	case wire.Request:
		_, fault = translate(call)
	case wire.Search:
		if !call.Probe {
			return c.Search(ctx, call), true
		}
	case wire.Control:
		if cmd := call.Get("cmd"); cmd != cancel && cmd != trigger {
			fault = wire.Refuse(wire.InvalidParameter, "cmd")
		}
	case wire.Templates: // which a client has made by v2
	case wire.PSD2:
		fault = wire.Refuse(wire.PSD2Unsupported, "")
	case wire.Check:
		if n := len(call.Get("code")); n < 4 || n > 10 {
			fault = wire.Refuse(wire.InvalidParameter, "code")
		}
	}
	switch {
	case fault != nil:
		return fault.Answer(), true
	case (call.Operation == wire.Check || call.Operation == wire.Control) && uuid(call.RequestID()) == "":
		return refusal(call, wire.NotFoundOrFinished, call.RequestID()), true
	}
	return answer, false
}

// uuid is a request_id as Verify v2 has it, or "" for what can be none. v1's are the same
// without the dashes.
func uuid(requestID string) string {
	digits := undashed(requestID)
	if digits == "" {
		return ""
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}
