package wire

// Reason says more about a Cause: at which step on the way to the provider it
// happened, or what came in place of an answer. It is one of a fixed list, so that
// it can stand in logs and spans whatever came over the network.
type Reason string

// Why there was no connection.
const (
	ReasonDNS               Reason = "dns"
	ReasonRefused           Reason = "refused"
	ReasonUnreachable       Reason = "unreachable"
	ReasonDialTimeout       Reason = "dial_timeout"
	ReasonProxyUnreachable  Reason = "proxy_unreachable"
	ReasonProxyRefused      Reason = "proxy_refused"
	ReasonUnknownAuthority  Reason = "unknown_authority"
	ReasonExpired           Reason = "expired"
	ReasonNotYetValid       Reason = "not_yet_valid"
	ReasonWrongName         Reason = "wrong_name"
	ReasonBadCertificate    Reason = "bad_certificate"
	ReasonNotTLS            Reason = "not_tls"
	ReasonTLSVersion        Reason = "tls_version"
	ReasonClientCertificate Reason = "client_certificate_required"
	ReasonTLSAlert          Reason = "tls_alert"
	ReasonHandshakeFailed   Reason = "handshake_failed"
	ReasonHandshakeTimeout  Reason = "handshake_timeout"
)

// Why no answer came over one.
const (
	ReasonReset       Reason = "reset"
	ReasonClosed      Reason = "closed"
	ReasonStreamReset Reason = "stream_reset"
	ReasonNoAnswer    Reason = "no_answer"
	ReasonSlowAnswer  Reason = "slow_answer"
	ReasonQueue       Reason = "queue"
)

// Why what came was no answer.
const (
	ReasonNotHTTP    Reason = "not_http"
	ReasonHeaderSize Reason = "header_too_large"
	ReasonCode       Reason = "http_code"
	ReasonRedirect   Reason = "redirect"
	ReasonEncoding   Reason = "content_encoding"
	ReasonEmpty      Reason = "empty"
	ReasonWebPage    Reason = "web_page"
	ReasonMalformed  Reason = "malformed"
	ReasonNotVerify  Reason = "not_verify"
	ReasonOtherID    Reason = "other_request_id"
)

// Which of the guard's rules refused a start.
const (
	ReasonCountries   Reason = "countries"
	ReasonDenyPrefix  Reason = "deny_prefix"
	ReasonNumberTypes Reason = "number_types"
	ReasonBlock       Reason = "block"
	ReasonCoolDown    Reason = "cool_down"
	ReasonPerNumber   Reason = "per_number"
	ReasonPerAddress  Reason = "per_address"
	ReasonPerPrefix   Reason = "per_prefix"
	ReasonConversion  Reason = "conversion"
	ReasonBudget      Reason = "budget"
)

// GuardReasons lists them.
var GuardReasons = [...]Reason{
	ReasonCountries, ReasonDenyPrefix, ReasonNumberTypes, ReasonBlock, ReasonCoolDown, ReasonPerNumber, ReasonPerAddress,
	ReasonPerPrefix, ReasonConversion, ReasonBudget,
}

// ReasonOther stands for what the list does not foresee.
const ReasonOther Reason = "other"

// Reasons lists all of them, in the order of docs/failures.md.
var Reasons = [...]Reason{
	ReasonDNS, ReasonRefused, ReasonUnreachable, ReasonDialTimeout, ReasonProxyUnreachable, ReasonProxyRefused,
	ReasonUnknownAuthority, ReasonExpired, ReasonNotYetValid, ReasonWrongName, ReasonBadCertificate, ReasonNotTLS,
	ReasonTLSVersion, ReasonClientCertificate, ReasonTLSAlert, ReasonHandshakeFailed, ReasonHandshakeTimeout,
	ReasonReset, ReasonClosed, ReasonStreamReset, ReasonNoAnswer, ReasonSlowAnswer, ReasonQueue,
	ReasonNotHTTP, ReasonHeaderSize, ReasonCode, ReasonRedirect, ReasonEncoding, ReasonEmpty, ReasonWebPage,
	ReasonMalformed, ReasonNotVerify, ReasonOtherID,
	ReasonCountries, ReasonDenyPrefix, ReasonNumberTypes, ReasonBlock, ReasonCoolDown, ReasonPerNumber, ReasonPerAddress,
	ReasonPerPrefix, ReasonConversion, ReasonBudget, ReasonOther,
}
