// Package upstream sends calls to the Verify API. It is the only code that
// holds the secret and touches the network.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
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
	response, err := c.Transport.RoundTrip(c.request(httptrace.WithClientTrace(ctx, &s.trace), call, s))
	if err != nil {
		return c.failed(ctx, err, s)
	}
	defer response.Body.Close()
	return c.read(ctx, call, response)
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
}

func (s *sending) gotConn(info httptrace.GotConnInfo) {
	s.connected.Store(true)
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
func (c *Client) read(ctx context.Context, call *wire.Call, response *http.Response) wire.Answer {
	useless := func(cause wire.Cause, err error) wire.Answer {
		return (&wire.Fault{Cause: cause, MayHaveSent: true, UpstreamCode: response.StatusCode, Err: err}).Answer()
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return useless(wire.AnswerUnreadable, nil)
	}
	if response.ContentLength > wire.MaxAnswer {
		return useless(wire.AnswerTooLarge, nil)
	}
	body, err := readBody(response)
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded) && err != nil:
		return useless(wire.UpstreamTimeout, nil)
	case ctx.Err() != nil && err != nil:
		return useless(wire.ClientLeft, nil)
	case err != nil:
		return useless(wire.ConnectionLost, nil)
	case len(body) > wire.MaxAnswer:
		return useless(wire.AnswerTooLarge, nil)
	}
	contentType := response.Header.Get("Content-Type")
	reading, err := wire.Read(call.Operation, call.Format, contentType, body)
	switch code := response.StatusCode; {
	case err == nil && code/100 != 3: // a redirect is never an answer
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return refusal(wire.UpstreamUnauthorized, code)
	case code == http.StatusTooManyRequests:
		return refusal(wire.UpstreamThrottled, code)
	case code != http.StatusOK:
		return useless(wire.UpstreamError, nil)
	default:
		return useless(wire.AnswerUnreadable, err)
	}
	if c.Secret.In(body) || contentType != call.Format.ContentType() && c.Secret.In([]byte(contentType)) {
		return useless(wire.AnswerWithSecret, nil)
	}
	return wire.Answer{Code: response.StatusCode, ContentType: contentType, Body: body, Reading: reading}
}

// refusal is the answer to an HTTP status code by which the provider says that it
// has not done what was asked.
func refusal(cause wire.Cause, code int) wire.Answer {
	return (&wire.Fault{Cause: cause, UpstreamCode: code}).Answer()
}

func readBody(response *http.Response) ([]byte, error) {
	if n := response.ContentLength; n >= 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(response.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(response.Body, wire.MaxAnswer+1))
}

// failed tells why no answer came. The error's own text is not kept: it may
// hold a URL.
func (c *Client) failed(ctx context.Context, err error, s *sending) wire.Answer {
	mayHaveSent := s.connected.Load()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return unanswered(wire.UpstreamTimeout, mayHaveSent)
	case ctx.Err() != nil:
		return unanswered(wire.ClientLeft, mayHaveSent)
	case mayHaveSent:
		return unanswered(wire.ConnectionLost, mayHaveSent)
	case isTLS(err):
		return unanswered(wire.TLSFailed, false)
	}
	return unanswered(wire.ConnectFailed, false)
}

func isTLS(err error) bool {
	var (
		record       tls.RecordHeaderError
		verification *tls.CertificateVerificationError
		op           *net.OpError
	)
	return errors.As(err, &record) || errors.As(err, &verification) ||
		// crypto/tls has no exported type for the alerts of either side.
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

func unanswered(cause wire.Cause, mayHaveSent bool) wire.Answer {
	return (&wire.Fault{Cause: cause, MayHaveSent: mayHaveSent}).Answer()
}
