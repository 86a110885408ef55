package doctor

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync"
	"time"
)

// trip notes what the way of a call is like.
type trip struct {
	next http.RoundTripper

	mu   sync.Mutex
	told seen
}

// seen is what a trip has noted.
type seen struct {
	addresses []string // of the name
	remote    string   // where the connection went
	version   string   // of TLS
	chain     []*x509.Certificate
	refused   *x509.Certificate // one that was not trusted
	code      int               // of HTTP
	date, at  time.Time         // the provider's clock, and this one at that time
	software  string            // what answered, in its own words
	location  string            // where a redirect leads
}

func (t *trip) seen() seen {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.told
}

func (t *trip) note(f func(*seen)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.told)
}

// RoundTrip implements http.RoundTripper.
func (t *trip) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		DNSDone: func(info httptrace.DNSDoneInfo) {
			t.note(func(s *seen) {
				s.addresses = nil
				for _, address := range info.Addrs {
					s.addresses = append(s.addresses, address.String())
				}
				slices.Sort(s.addresses)
			})
		},
		GotConn: func(info httptrace.GotConnInfo) {
			t.note(func(s *seen) { s.remote = info.Conn.RemoteAddr().String() })
		},
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			t.note(func(s *seen) {
				s.refused = certificateIn(err)
				if err == nil {
					s.version = tls.VersionName(state.Version)
				}
				if len(state.VerifiedChains) > 0 {
					s.chain = state.VerifiedChains[0]
				} else {
					s.chain = state.PeerCertificates
				}
			})
		},
	}))
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return response, err
	}
	t.note(func(s *seen) {
		s.at, s.code = time.Now(), response.StatusCode
		s.date, _ = http.ParseTime(response.Header.Get("Date"))
		s.software = cmp.Or(response.Header.Get("Server"), response.Header.Get("Via"))
		if location, err := url.Parse(response.Header.Get("Location")); err == nil {
			s.location = location.Host
		}
	})
	return response, err
}

// certificateIn is the one that an error is about.
func certificateIn(err error) *x509.Certificate {
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(e.UnverifiedCertificates) > 0 {
		return e.UnverifiedCertificates[0]
	}
	return nil
}

// name is what somebody knows an issuer by.
func name(n pkix.Name) string {
	if n.CommonName != "" {
		return n.CommonName
	}
	return n.String()
}
