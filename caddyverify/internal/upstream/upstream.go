// Package upstream sends calls to the Verify API. It is the only code that
// holds the secret and touches the network.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"

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

// Config is what a Client needs; all of it is required.
type Config struct {
	// URL is what the paths of the API are appended to, such as
	// https://api.nexmo.com.
	URL string
	// Key and Secret are the account's credentials.
	Key    string
	Secret Secret
	Auth   Auth
	// Transport makes the exchange: an http.Transport, or what ends in one. It must
	// report its connections to httptrace, and speak HTTP/2 over TLS only.
	Transport http.RoundTripper
}

// Client sends calls with the account's credentials.
type Client struct {
	Config
	// requests are what all calls of an operation have in common. What they point to
	// is shared: the transport only reads it, as http.RoundTripper demands.
	requests [len(wire.Operations)][len(wire.Formats)]*http.Request
	body     string // credentials in the body, for Auth Body
}

// New returns a Client.
func New(config Config) (*Client, error) {
	c := &Client{Config: config}
	credentials := url.Values{"api_key": {config.Key}, "api_secret": {config.Secret.value}}.Encode()
	if config.Auth == Body {
		c.body = "&" + credentials
	}
	for _, o := range wire.Operations {
		for _, f := range wire.Formats {
			target, err := url.Parse(strings.TrimSuffix(config.URL, "/") + wire.Path(o, f))
			if err != nil {
				return nil, errors.New("the upstream is not a URL")
			}
			if config.Auth == Query {
				target.RawQuery = credentials
			}
			r := &http.Request{
				Method: http.MethodPost,
				URL:    target,
				Host:   target.Host,
				Header: http.Header{
					"Accept":       {f.ContentType()},
					"Content-Type": {"application/x-www-form-urlencoded"},
					"User-Agent":   {"caddy-verify"},
					// An answer must be read before it is passed on, and a compressed one can be
					// a bomb.
					"Accept-Encoding": {"identity"},
				},
				Proto:      "HTTP/1.1",
				ProtoMajor: 1,
				ProtoMinor: 1,
			}
			if config.Auth == Basic {
				r.SetBasicAuth(config.Key, config.Secret.value)
			}
			c.requests[o][f] = r
		}
	}
	return c, nil
}

// Send makes one call, once, within the deadline of ctx. What goes wrong is told
// by the answer's Fault.
//
// It is a POST whatever the client sent, since Go's transport sends a GET again
// when a kept-alive connection dies under it: see wire.Operation.Repeatable.
func (c *Client) Send(ctx context.Context, call *wire.Call) wire.Answer {
	s := &sending{form: string(append(call.AppendForm(make([]byte, 0, 256)), c.body...))}
	s.trace.GotConn = s.gotConn
	s.watch(&s.trace)
	response, err := c.Transport.RoundTrip(c.request(httptrace.WithClientTrace(ctx, &s.trace), call, s))
	if err != nil {
		return c.failed(ctx, err, s)
	}
	defer response.Body.Close()
	return c.read(ctx, call, response, s)
}

// request builds the upstream request from nothing but the call.
func (c *Client) request(ctx context.Context, call *wire.Call, s *sending) *http.Request {
	r := c.requests[call.Operation][call.Format].WithContext(ctx) // a copy
	s.body.Reset(s.form)
	r.Body = io.NopCloser(&s.body)
	r.ContentLength = int64(len(s.form))
	r.GetBody = s.again
	return r
}

// sending follows a call as far as it takes to know what may have been sent.
type sending struct {
	form             string
	body             strings.Reader
	connected, http2 atomic.Bool
	trace            httptrace.ClientTrace
	progress
}

func (s *sending) gotConn(info httptrace.GotConnInfo) {
	s.connected.Store(true)
	s.stage.Store(asking)
	if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
		s.http2.Store(true)
	}
}

// again is the request's GetBody: with it, the transport moves a POST to another
// connection. Over HTTP/1.1 it does so if, and only if, nothing of it was written to
// a connection that the peer had closed. Over HTTP/2 it also does so, again and
// again, for a peer that resets the stream with PROTOCOL_ERROR after having handled
// the call.
func (s *sending) again() (io.ReadCloser, error) {
	if s.http2.Load() {
		return nil, errSentOnce
	}
	return io.NopCloser(strings.NewReader(s.form)), nil
}

var errSentOnce = errors.New("a call is sent once")

// read checks what came back, and passes it on as it is or not at all.
func (c *Client) read(ctx context.Context, call *wire.Call, response *http.Response, s *sending) wire.Answer {
	code, contentType := response.StatusCode, response.Header.Get("Content-Type")
	length := min(max(response.ContentLength, 0), wire.MaxAnswer+1) // a longer one could be any number
	useless := func(fault *wire.Fault) wire.Answer {
		fault.UpstreamCode, fault.UpstreamType, fault.UpstreamLength = code, mediaType(contentType), length
		return fault.Answer()
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
		return because(wire.ClientLeft, "", nil)
	case err != nil:
		return useless(s.lost(err))
	case len(body) > wire.MaxAnswer:
		return because(wire.AnswerTooLarge, "", nil)
	}
	reading, err := wire.Read(call.Operation, call.Format, body)
	if err == nil && reading.AboutAnother(call) {
		err = wire.Unreadable(wire.ReasonOtherID, nil)
	}
	switch {
	case code/100 == 3: // a redirect is never an answer
		return because(wire.UpstreamError, wire.ReasonRedirect, nil)
	case err == nil:
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return useless(&wire.Fault{Cause: wire.UpstreamUnauthorized, Reason: reasonOf(err)})
	case code == http.StatusTooManyRequests:
		return useless(&wire.Fault{Cause: wire.UpstreamThrottled})
	case code != http.StatusOK:
		return because(wire.UpstreamError, reasonOf(err), nil)
	default:
		return because(wire.AnswerUnreadable, reasonOf(err), err)
	}
	relabelled := !wire.IsMediaType(call.Format, contentType)
	if relabelled {
		contentType = call.Format.ContentType()
	}
	if c.Secret.In(body) || contentType != call.Format.ContentType() && c.Secret.In([]byte(contentType)) {
		return because(wire.AnswerWithSecret, "", nil)
	}
	return wire.Answer{Code: code, ContentType: contentType, Relabelled: relabelled, Body: body, Reading: reading}
}

// carriesAnswer tells the HTTP status codes with which an answer can be passed on whole:
// those of HTTP, but for the informational ones and 205, which have no body.
func carriesAnswer(code int) bool {
	return code >= 200 && code <= 599 && code != http.StatusResetContent
}

func reasonOf(err error) wire.Reason {
	var fault *wire.Fault
	if errors.As(err, &fault) {
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
