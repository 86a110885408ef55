package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Account is an account to ask the provider about.
type Account struct {
	// Of is what findings name it by; empty where it is the only one.
	Of string
	// URL is the upstream's.
	URL string
	// Transport is the one that is configured, and Sender returns how the gateway makes calls
	// by one.
	Transport http.RoundTripper
	Sender    func(http.RoundTripper) (wire.Sender, error)
	// Directives name the first secret, Auth says where it is put, and Accepted by what is known
	// that the provider takes it.
	Directives, Auth, Accepted string
	// V2 tells that calls are of version 2, and Signed that they are signed by an application's key.
	V2, Signed bool
	// Two tells that there is a second secret.
	Two bool
	// Drained returns how calls are made about verifications of version 1; nil where there are none.
	Drained func(http.RoundTripper) (wire.Sender, error)
	// Timeout is that of a call.
	Timeout time.Duration
	// Proxy is the address of the one that is configured, and Unused the variable of the
	// environment that names one which the gateway does not use. Both may be empty.
	Proxy, Unused string
}

// Ask makes one search of an unused request_id with each secret of the account, and tells
// of all that this shows: it costs nothing.
func (r *Report) Ask(ctx context.Context, a *Account) {
	trip := &trip{next: a.Transport}
	send, err := a.Sender(trip)
	if err != nil {
		r.Add(Finding{Fail, "upstream", a.Of, err.Error() + ".", "`upstream`."})
		return
	}
	base, err := url.Parse(a.URL)
	if err != nil {
		return // Sender has said so
	}
	q := question{Account: a, trip: trip, host: base.Hostname(), address: hostPort(base)}
	answer := q.ask(ctx, send, wire.FirstSecret)
	if !r.way(&q, answer) {
		r.Add(Finding{Skip, "provider", a.Of, a.Directives + " could not be tried.", ""})
		return
	}
	r.Add(q.verdict(a.Directives, a.Directives, answer))
	if a.Two {
		// The gateway works while one of them is accepted.
		next := q.verdict("next_credentials", "next_credentials", q.ask(ctx, send, wire.NextSecret))
		if next.Level == Fail {
			next.Level = Warn
		}
		r.Add(next)
	}
	if a.Drained == nil {
		return
	}
	if send, err = a.Drained(trip); err != nil {
		r.Add(Finding{Fail, "upstream", a.Of, err.Error() + ".", "`upstream`."})
		return
	}
	v1 := *a
	v1.Accepted, v1.V2, v1.Signed = ByV1, false, false
	q.Account = &v1
	r.Add(q.verdict("at version 1, for `drain v1`, the credentials", "credentials", q.ask(ctx, send, wire.FirstSecret)))
}

// ByV1 is Accepted for version 1.
const ByV1 = "a search of an unused request_id gets status 101"

// question is what is asked, and what the way to an answer was like.
type question struct {
	*Account
	*trip
	host    string // of the upstream
	address string // with its port
}

func (q *question) ask(ctx context.Context, send wire.Sender, secret wire.SecretName) wire.Answer {
	ctx, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	call := wire.SearchFor(wire.JSON, []string{hex.EncodeToString(id)}, false)
	call.Probe = true
	return send(wire.WithAttempt(ctx, wire.Attempt{Secret: secret}), call)
}

func hostPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return u.Host + map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
}

const (
	// soon is before the end of a certificate when somebody should know.
	soon = 14 * 24 * time.Hour
	// drift is how far two clocks may be apart.
	drift = 30 * time.Second
)

// way tells how far the first call has come, and whether that was to an answer.
func (r *Report) way(q *question, answer wire.Answer) bool {
	if f := answer.Fault; f != nil {
		if trouble, known := q.trouble(f); known {
			if q.Unused != "" {
				trouble.Change += " " + q.Unused + " is set, and is used only with `transport http { network_proxy url {env." + q.Unused + "} }`."
			}
			r.Add(trouble)
			return false
		}
	}
	seen := q.seen()
	if len(seen.addresses) > 0 && q.Proxy == "" {
		r.Add(Finding{OK, "DNS", q.Of, q.host + " is " + strings.Join(seen.addresses, ", ") + ".", ""})
	}
	if seen.remote != "" {
		to := seen.remote
		if q.Proxy != "" {
			to = "the proxy " + q.Proxy
		}
		r.Add(Finding{OK, "connection", q.Of, "to " + to + ".", ""})
	}
	if q.Unused != "" {
		r.Add(Finding{Warn, "proxy", q.Of, q.Unused + " is set in the environment, and the gateway does not use it: calls go to the provider directly.", "`transport http { network_proxy url {env." + q.Unused + "} }`, or `network_proxy none` if that is right."})
	}
	if len(seen.chain) > 0 {
		r.Add(q.certificate(seen))
	}
	if answer.Fault == nil && !seen.date.IsZero() {
		r.Add(q.clock(seen))
	}
	return true
}

func (q *question) certificate(seen seen) Finding {
	text := fmt.Sprintf("%s, issued by %q, until %s.", seen.version, name(seen.chain[0].Issuer), seen.chain[0].NotAfter.Format(time.DateOnly))
	for _, c := range seen.chain {
		// One that lives for days is renewed within days.
		left, life := time.Until(c.NotAfter), c.NotAfter.Sub(c.NotBefore)
		if left < min(soon, life/3) {
			return Finding{Warn, "TLS", q.Of, fmt.Sprintf("a certificate of %s, issued by %q, ends in %.1f days, and no calls go then.", q.host, name(c.Issuer), left.Hours()/24), "the certificate there, and `tls_trust_pool` if its issuer changes with it."}
		}
	}
	return Finding{OK, "TLS", q.Of, text, ""}
}

func (q *question) clock(seen seen) Finding {
	off := seen.at.Sub(seen.date)
	if off.Abs() > drift {
		which := "ahead of"
		if off < 0 {
			which = "behind"
		}
		return Finding{Warn, "clock", q.Of, fmt.Sprintf("this host's is %v %s the provider's: certificates, logs and lifetimes go by it.", off.Abs().Round(time.Second), which), "this host's clock (NTP)."}
	}
	return Finding{OK, "clock", q.Of, "it agrees with the provider's.", ""}
}
