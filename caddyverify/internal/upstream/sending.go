package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// sending follows a call as far as it takes to know what may have been sent.
type sending struct {
	form                            string
	body                            strings.Reader
	connected, reused, http2, wrote atomic.Bool
	trace                           httptrace.ClientTrace
	progress
}

// request is the request itself, which is sent once.
func (o *Outgoing) request(ctx context.Context) (*http.Request, *sending) {
	s := &sending{form: o.Body}
	s.trace.GotConn = s.gotConn
	s.trace.WroteHeaderField = s.wroteHeader
	s.watch(&s.trace)
	r := o.Template.WithContext(httptrace.WithClientTrace(ctx, &s.trace)) // a copy
	if o.URL != nil {
		r.URL = o.URL
	}
	if o.Header != nil {
		r.Header = o.Header
	}
	// A GET has a body that is there but empty, and no GetBody. Nothing of it is on the
	// wire, but Go's transport takes such a request for one that it cannot make again.
	r.Body = io.NopCloser(&s.body)
	if o.Template.Method == http.MethodGet {
		return r, s
	}
	s.body.Reset(s.form)
	r.ContentLength = int64(len(s.form))
	r.GetBody = s.again
	return r, s
}

func (s *sending) gotConn(info httptrace.GotConnInfo) {
	s.connected.Store(true)
	s.stage.Store(asking)
	s.reused.Store(info.Reused)
	if c, ok := info.Conn.(*tls.Conn); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
		s.http2.Store(true)
	}
}

// wroteHeader is called before the end of the header can have left.
func (s *sending) wroteHeader(string, []string) { s.wrote.Store(true) }

// again is a POST's GetBody: with it, the transport moves the request to another
// connection. Over HTTP/1.1 it does so if, and only if, nothing of it was written to
// a connection that the peer had closed. Over HTTP/2 it also does so, again and
// again, for a peer that resets the stream with PROTOCOL_ERROR after having handled
// the call.
func (s *sending) again() (io.ReadCloser, error) {
	if s.http2.Load() && s.wrote.Load() {
		return nil, errSentOnce
	}
	return io.NopCloser(strings.NewReader(s.form)), nil
}

var errSentOnce = errors.New("a call is sent once")

// unwritten tells of a GET that nobody can have read to its end, since it was not
// written to its end: the peer had closed a connection that was kept. For a POST,
// and over HTTP/2, the transport sees to that by itself.
func (s *sending) unwritten(err error) bool {
	if !s.reused.Load() || s.http2.Load() {
		return false
	}
	var op *net.OpError
	return !s.wrote.Load() || errors.As(err, &op) && op.Op == "write"
}
