package doctor

import (
	"cmp"
	"fmt"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

const (
	lookFirewall = "this host's egress firewall, or `transport http { network_proxy … }` if calls must go through a proxy."
	lookAt       = "`upstream`, or whatever lies between."
)

// trouble tells why no call comes to the provider. It reports false where one did.
func (q *question) trouble(f *wire.Fault) (Finding, bool) {
	check, text, change := q.unreached(f)
	if check == "" {
		check = "TLS"
		text, change = q.untrusted(f.Reason)
	}
	if text == "" {
		check, text, change = q.unanswered(f)
	}
	return Finding{Fail, check, q.Of, text, change}, text != ""
}

// way is what a connection is made to.
func (q *question) way() string {
	if q.Proxy != "" {
		return "the proxy " + q.Proxy
	}
	return q.address
}

// unreached tells why there is no connection; nothing where there is, or for no known
// reason.
func (q *question) unreached(f *wire.Fault) (check, text, change string) {
	const proxy = "`transport http { network_proxy … }`"
	direct := q.Proxy == ""
	switch f.Reason {
	case wire.ReasonDNS:
		if direct {
			return "DNS", "the name " + q.host + " has no address here.", "`upstream`, or this host's resolver."
		}
		return "proxy", "the name of " + q.way() + " has no address.", proxy + "."
	case wire.ReasonRefused, wire.ReasonProxyUnreachable:
		if direct {
			return "connection", "nothing listens at " + q.way() + ".", "`upstream`, or " + lookFirewall
		}
		return "proxy", q.way() + " does not answer.", proxy + ", or start it."
	case wire.ReasonProxyRefused:
		code := ""
		if f.ProxyCode != 0 {
			code = fmt.Sprintf(" (HTTP %d)", f.ProxyCode)
		}
		return "proxy", q.way() + " refuses to connect to " + q.address + code + ".", "allow it there, or the user and password in " + proxy + "."
	case wire.ReasonUnreachable:
		return "connection", "there is no way to " + q.way() + ".", "this host's routes, or " + lookFirewall
	case wire.ReasonDialTimeout:
		return "connection", q.way() + " does not answer within " + q.Timeout.String() + ": packets are dropped.", lookFirewall
	default:
		return "", "", ""
	}
}

// unanswered tells why a connection gives no answer; nothing where it does.
func (q *question) unanswered(f *wire.Fault) (check, text, change string) {
	switch f.Cause {
	case wire.TLSFailed:
		return "TLS", fmt.Sprintf("no trusted connection to %s can be made (%s).", q.address, f.Reason), lookAt
	case wire.ConnectFailed:
		return "connection", fmt.Sprintf("none to %s can be made (%s).", q.way(), f.Reason), lookAt
	case wire.UpstreamTimeout:
		return "connection", fmt.Sprintf("%s gives no answer within %v (%s).", q.address, q.Timeout, f.Reason), "`timeout` only if answers do come later; the provider's status page tells more."
	case wire.ConnectionLost:
		return "connection", fmt.Sprintf("%s ends it before there is an answer (%s).", q.address, f.Reason), lookAt
	}
	return "", "", ""
}

// untrusted tells why TLS failed; nothing where it did not, or for no known reason.
func (q *question) untrusted(reason wire.Reason) (text, change string) {
	issuer, from, until := "somebody", "", ""
	if c := q.seen().refused; c != nil {
		issuer = fmt.Sprintf("%q", name(c.Issuer))
		from, until = " on "+c.NotBefore.Format(time.DateOnly), " on "+c.NotAfter.Format(time.DateOnly)
	}
	switch reason {
	case wire.ReasonUnknownAuthority:
		return "the certificate of " + q.address + " is issued by " + issuer + ", whom this host does not trust: an inspecting proxy, or a private CA.", "`transport http { tls_trust_pool file <ca.pem> }` if it is meant to be there."
	case wire.ReasonExpired:
		return "the certificate of " + q.address + " has ended" + until + ", by this host's clock.", "the certificate there, or this host's clock."
	case wire.ReasonNotYetValid:
		return "the certificate of " + q.address + " begins" + from + ", by this host's clock.", "this host's clock (NTP)."
	case wire.ReasonWrongName:
		return "the certificate of " + q.address + ", issued by " + issuer + ", is for another name.", "`upstream`, or `transport http { tls_server_name <name> }`."
	case wire.ReasonNotTLS:
		return q.address + " does not speak TLS.", "`upstream`: its port, or https."
	case wire.ReasonClientCertificate:
		return q.address + " asks for a client's certificate.", "`transport http { tls_client_auth <cert> <key> }`."
	case wire.ReasonHandshakeTimeout:
		return q.address + " does not finish the TLS handshake within " + q.Timeout.String() + ".", lookFirewall
	default:
		return "", ""
	}
}

// said is by what the provider has told a status: version 2 does by the code of HTTP.
func (q *question) said(status wire.Status) string {
	if q.V2 {
		return fmt.Sprintf("HTTP %d", q.seen().code)
	}
	return "status " + string(status)
}

// refused tells why credentials are, which stand in a directive.
func (q *question) refused(directive string) (text, change string) {
	text = "are refused with " + q.said(wire.BadCredentials) + ": "
	if q.Signed {
		return text + "the key is not the application's, or was replaced, or there is no such application.",
			"`application`: compare it with the provider's dashboard; `private_key`: the key that was made there last for this application."
	}
	return text + "the key or the secret is wrong, or was revoked.", "`" + directive + "`: compare both with the provider's dashboard."
}

// verdict tells what the provider thinks of a secret, which stands in a directive.
func (q *question) verdict(which, directive string, answer wire.Answer) Finding {
	finding := func(level Level, text, change string) Finding {
		return Finding{level, "provider", q.Of, which + " " + text, change}
	}
	if answer.Fault != nil {
		level, text, change := q.noAnswer(answer.Fault)
		return finding(level, text, change)
	}
	switch answer.Status {
	case wire.NoResponse:
		return finding(OK, "are accepted: "+q.Accepted+".", "")
	case wire.BadCredentials:
		text, change := q.refused(directive)
		return finding(Fail, text, change)
	case wire.Missing:
		return finding(Fail, "are not found in the call: "+q.said(answer.Status)+".", "`auth`: the upstream looks for them elsewhere than `"+q.Auth+"` puts them.")
	case wire.AccountBarred:
		return finding(Fail, "are those of an account that is barred: "+q.said(answer.Status)+".", "nothing here: talk to the provider.")
	case wire.NoCredit:
		return finding(Fail, "are those of an account without credit: "+q.said(answer.Status)+".", "nothing here: top up the account.")
	case wire.Throttled:
		return finding(Warn, throttled+" ("+q.said(answer.Status)+").", whoElse)
	case wire.InternalError:
		return finding(Warn, "could not be tried: the provider reports a fault of its own ("+q.said(answer.Status)+").", tryAgain)
	}
	if !answer.Status.Numeric() {
		return finding(Warn, "could not be tried: what answers knows a request_id that nobody has used, so it is no Verify API but a stub.", "`upstream`.")
	}
	return finding(Warn, "could not be tried: "+q.said(answer.Status)+" comes, where "+q.Accepted+".", "`upstream`: it may not be the provider's.")
}

const (
	throttled = "could not be tried: the provider throttles the account at the moment"
	whoElse   = "`limit`, or what else uses the account."
	tryAgain  = "nothing here: try again, and look at the provider's status page."
)

// noAnswer tells what came in place of an answer.
func (q *question) noAnswer(fault *wire.Fault) (level Level, text, change string) {
	seen, by := q.seen(), ""
	if seen.software != "" {
		by = fmt.Sprintf(" It calls itself %q.", short(seen.software))
	}
	code := fmt.Sprintf("HTTP %d", fault.UpstreamCode)
	page := fault.Reason == wire.ReasonWebPage || fault.UpstreamType == "text/html"
	switch {
	case fault.Cause == wire.UpstreamThrottled:
		return Warn, throttled + " (" + code + ").", whoElse
	case fault.Cause == wire.AnswerWithSecret:
		return Fail, "come back in what answers, as from no Verify API.", lookAt
	case fault.Reason == wire.ReasonRedirect:
		return Fail, fmt.Sprintf("could not be tried: %s leads to %q, and redirects are not followed.", code, cmp.Or(short(seen.location), "elsewhere")), "`upstream` if that is the provider; if not, a network's sign-in page is in between."
	case page:
		return Fail, "could not be tried: " + code + " with a web page comes in the provider's place, from a firewall, a proxy or a wrong host." + by, lookAt
	case fault.Cause == wire.UpstreamUnauthorized:
		return Fail, "are refused with " + code + ".", "the credentials, `auth`, or the list of allowed addresses at the provider."
	case fault.UpstreamCode/100 == 5:
		return Fail, "could not be tried: " + code + ", so that the provider or something before it is in trouble." + by, tryAgain
	case fault.UpstreamCode == 0:
		return Fail, fmt.Sprintf("could not be tried: no answer comes (%s).", cmp.Or(string(fault.Reason), string(fault.Cause))), lookAt
	}
	return Fail, fmt.Sprintf("could not be tried: what comes is no answer of the Verify API, but %s, %s, %d bytes (%s).%s", code, fault.UpstreamType, fault.UpstreamLength, cmp.Or(string(fault.Reason), string(fault.Cause)), by), lookAt
}

// short bounds what others have written.
func short(text string) string { return text[:min(len(text), 64)] }
