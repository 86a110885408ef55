package wire

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// Cause says why the gateway answered by itself. It is the word that logs,
// spans, metrics and Proxy-Status have in common.
type Cause string

// What is wrong with a call. Nothing of it was sent.
const (
	MethodNotAllowed  Cause = "method_not_allowed"
	UnknownPath       Cause = "unknown_path"
	MisspelledPath    Cause = "misspelled_path"
	NetworkUnblockOff Cause = "network_unblock_off"
	BrowserRefused    Cause = "browser_refused"
	CallerUnknown     Cause = "caller_unknown"
	BodyTooLarge      Cause = "body_too_large"
	QueryTooLong      Cause = "query_too_long"
	TooManyParameters Cause = "too_many_parameters"
	UnknownMediaType  Cause = "unknown_media_type"
	Undecodable       Cause = "undecodable"
	MissingParameter  Cause = "missing_parameter"
	InvalidParameter  Cause = "invalid_parameter"
	UnknownParameter  Cause = "unknown_parameter"
	RepeatedParameter Cause = "repeated_parameter"
	TooManyRequestIDs Cause = "too_many_request_ids"
	SearchWithoutID   Cause = "search_without_id"
	ControlOfNothing  Cause = "control_of_nothing"
	// PSD2Unsupported is what has no counterpart in the version of the API that the account is at.
	PSD2Unsupported Cause = "psd2_unsupported"
	// TemplatesOff, TemplatesDenied and SilentAuthRedirect are for paths of version 2.
	TemplatesOff       Cause = "templates_off"
	TemplatesDenied    Cause = "templates_denied"
	SilentAuthRedirect Cause = "silent_auth_redirect"
)

// What went wrong on the way to the provider or back.
const (
	ConnectFailed        Cause = "connect_failed"
	TLSFailed            Cause = "tls_failed"
	UpstreamTimeout      Cause = "upstream_timeout"
	ConnectionLost       Cause = "connection_lost"
	UpstreamError        Cause = "upstream_error"
	UpstreamThrottled    Cause = "upstream_throttled"
	UpstreamUnauthorized Cause = "upstream_unauthorized"
	AnswerTooLarge       Cause = "answer_too_large"
	AnswerUnreadable     Cause = "answer_unreadable"
	AnswerWithSecret     Cause = "answer_with_secret"
	ClientLeft           Cause = "client_left"
	GatewayLost          Cause = "gateway_lost"
)

// Why the gateway did not make a call. Nothing of it was sent.
const (
	BreakerOpen           Cause = "breaker_open"
	LimitReached          Cause = "limit_reached"
	CallerLimitReached    Cause = "caller_limit_reached"
	CallerBusy            Cause = "caller_busy"
	AccountThrottled      Cause = "account_throttled"
	TooManyUnderWay       Cause = "too_many_under_way"
	AccountBadCredentials Cause = "account_bad_credentials"
	AccountIsBarred       Cause = "account_barred"
	AccountNoCredit       Cause = "account_no_credit"
	IdempotencyKeyReused  Cause = "idempotency_key_reused"
	// GuardRefused has the rule as its Reason, and as its Status what that rule answers with.
	GuardRefused Cause = "guard_refused"
)

// StoreAway is for what only other gateways know, while the store does not answer. Nothing was sent.
const StoreAway Cause = "store_away"

// InvariantBroken is a fault of the gateway itself that it has noticed in time.
const InvariantBroken Cause = "invariant_broken"

// Fault is what the gateway has to say instead of the provider. It is an error
// whose text is fixed but for the name of a parameter.
type Fault struct { //nolint:errname // the word that docs and logs have
	Cause Cause
	// Reason says more of it; "" where the cause says all.
	Reason Reason
	// As is the Verify status to answer with where it is not always the same for the cause, and
	// RequestID the verification that status 10 is about, "" for none. Finding is for operators:
	// what the guard's rule has counted. What was refused is told to no other gateway.
	As        Status `json:"-"`
	RequestID string `json:"-"`
	Finding   string `json:"-"`
	// Name is what the sentence is about: a parameter, a method, a media type.
	Name string
	// Allow are the methods to use in place of one that is not allowed; "" for GET and POST.
	Allow string `json:"-"`
	// MayHaveSent tells that the call may have reached the provider.
	MayHaveSent bool
	// Refused tells that the gateway did not even try to make a call that is one: more
	// of the same would be refused, too.
	Refused bool
	// UpstreamCode is the HTTP status code that the provider answered with; 0 for
	// no answer.
	UpstreamCode int
	// UpstreamType and UpstreamLength tell what came with it: a media type, "none" or
	// "other", and bytes.
	UpstreamType   string
	UpstreamLength int64
	// UpstreamWhole tells that it came to its end.
	UpstreamWhole bool
	// MethodUnknown tells that the upstream knows no such call by the HTTP method of this
	// attempt, and so has done nothing: it is made once more by another one.
	MethodUnknown bool
	// ProxyCode is the HTTP status code by which a proxy refused to connect; 0 for none.
	ProxyCode int
	// RetryAfter tells the client when asking again makes sense; 0 for no advice.
	RetryAfter time.Duration
	// Err is the error behind it, for errors.Is. It is never shown to anyone.
	Err error
}

// Refuse makes the Fault for a call that is not sent.
func Refuse(cause Cause, name string) *Fault { return &Fault{Cause: cause, Name: name} }

// Error returns the text that the client reads.
func (f *Fault) Error() string { return f.said(wordings[f.Cause].text) }

// said is a text with what was sent, and the cause.
func (f *Fault) said(text string) string {
	sent := "nothing was sent"
	if f.MayHaveSent {
		sent = "the call may have been sent"
	}
	return fmt.Sprintf("%s; %s (caddy-verify: %s)", f.text(text), sent, f.Cause)
}

// text fills in what a text is about.
func (f *Fault) text(text string) string {
	if strings.Contains(text, "%s") {
		return fmt.Sprintf(text, printable(f.Name))
	}
	return text
}

// Unwrap returns the error behind the fault.
func (f *Fault) Unwrap() error { return f.Err }

// Status is the Verify status that fits the fault.
func (f *Fault) Status() Status { return cmp.Or(f.As, wordings[f.Cause].status) }

// Trouble tells a fault that an operator should know of from one that is about
// what a client sent or did.
func (f *Fault) Trouble() bool {
	code := wordings[f.Cause].code
	return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests
}

// ProxyError is the fault's error type for Proxy-Status (RFC 9209, section 2.3).
func (f *Fault) ProxyError() string { return wordings[f.Cause].proxyError }

// Answer returns the fault as an answer that Say has yet to write.
func (f *Fault) Answer() Answer {
	return Answer{Reading: Reading{Verification: Verification{Status: f.Status()}}, Fault: f}
}

// wording is what a client reads of a cause.
type wording struct {
	status Status
	// code is the HTTP status code under `errors http`.
	code int
	// always tells that code is sent in either mode: the call is no call of the
	// API, so there is no outcome to report.
	always     bool
	proxyError string
	text       string
}

// wordings maps each cause to what the client reads.
var wordings = map[Cause]wording{
	MethodNotAllowed:   {Invalid, http.StatusMethodNotAllowed, true, "http_request_error", "Method %s is not allowed, use GET or POST"},
	UnknownPath:        {Invalid, http.StatusNotFound, true, "http_request_denied", "No such call: the paths are /verify/{format}, /verify/check/, search/ or control/{format}, and /verify/psd2/json, where {format} is json or xml"},
	MisspelledPath:     {Invalid, http.StatusNotFound, true, "http_request_denied", "No such call: its path is %s"},
	NetworkUnblockOff:  {Invalid, http.StatusNotFound, true, "http_request_denied", "network-unblock is not carried: it lifts the provider's guard against fraud for the whole account, which is for the account's owner to do, at the provider"},
	TemplatesOff:       {Invalid, http.StatusNotFound, true, "http_request_denied", "Templates are not carried: writing them changes the messages of all applications of the account, which is for its owner to do, at the provider, unless `templates` lets it through here"},
	TemplatesDenied:    {Invalid, http.StatusForbidden, true, "http_request_denied", "Templates are for the callers that the gateway's operator has named: writing them changes the messages of all applications of the account"},
	SilentAuthRedirect: {Invalid, http.StatusNotFound, true, "http_request_denied", "A check_url is for the handset to open over its mobile network, as the provider has written it, never through a gateway"},
	BrowserRefused:     {Invalid, http.StatusForbidden, true, "http_request_denied", "Calls of browsers are not taken"},
	CallerUnknown:      {Invalid, http.StatusForbidden, true, "http_request_denied", "The gateway does not know who calls, or takes no calls of his here"},
	BodyTooLarge:       {Invalid, http.StatusRequestEntityTooLarge, true, "http_request_error", "The body is larger than 16 KiB"},
	QueryTooLong:       {Invalid, http.StatusRequestURITooLong, true, "http_request_error", "The query is longer than 8 KiB"},
	TooManyParameters:  {Invalid, http.StatusRequestEntityTooLarge, true, "http_request_error", "More than 64 parameters"},
	UnknownMediaType:   {Invalid, http.StatusUnsupportedMediaType, true, "http_request_error", "Send the parameters as application/x-www-form-urlencoded or application/json, without a Content-Encoding"},
	Undecodable:        {Invalid, http.StatusBadRequest, true, "http_request_error", "The parameters cannot be decoded: %s"},

	MissingParameter:  {Missing, http.StatusBadRequest, false, "http_request_error", "Your request is incomplete and missing the mandatory parameter: %s"},
	InvalidParameter:  {Invalid, http.StatusBadRequest, false, "http_request_error", "Invalid value for param: %s"},
	UnknownParameter:  {Invalid, http.StatusBadRequest, false, "http_request_error", "Unknown param: %s"},
	RepeatedParameter: {Invalid, http.StatusBadRequest, false, "http_request_error", "More than one value for param: %s"},
	TooManyRequestIDs: {TooManyIDs, http.StatusBadRequest, false, "http_request_error", "Too many request_ids provided"},
	SearchWithoutID:   {NotFoundOrFinished, http.StatusBadRequest, false, "http_request_error", "The Nexmo platform was unable to process this message for the following reason: neither request_id nor request_ids%s"},
	ControlOfNothing:  {Missing, http.StatusBadRequest, false, "http_request_error", "Missing mandatory parameter: request_id and cmd%s"},
	PSD2Unsupported:   {Invalid, http.StatusBadRequest, false, "http_request_denied", "The account is at Verify v2, which has no PSD2 (dynamic linking): its messages cannot name payee and amount"},

	ConnectFailed:        {InternalError, http.StatusBadGateway, false, "destination_unavailable", "The Verify API cannot be reached"},
	TLSFailed:            {InternalError, http.StatusBadGateway, false, "tls_protocol_error", "No trusted connection to the Verify API could be made"},
	UpstreamTimeout:      {InternalError, http.StatusGatewayTimeout, false, "http_response_timeout", "The Verify API did not answer in time"},
	ConnectionLost:       {InternalError, http.StatusBadGateway, false, "connection_terminated", "The connection to the Verify API was lost"},
	UpstreamError:        {InternalError, http.StatusBadGateway, false, "http_protocol_error", "The Verify API answered with an HTTP error"},
	UpstreamThrottled:    {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "The Verify API refused the call for coming too fast (HTTP 429)"},
	UpstreamUnauthorized: {BadCredentials, http.StatusBadGateway, false, "http_protocol_error", "The Verify API refused the gateway's credentials"},
	AnswerTooLarge:       {InternalError, http.StatusBadGateway, false, "http_response_body_size", "The Verify API's answer is too large"},
	AnswerUnreadable:     {InternalError, http.StatusBadGateway, false, "http_protocol_error", "The Verify API's answer cannot be read"},
	AnswerWithSecret:     {InternalError, http.StatusBadGateway, false, "http_protocol_error", "The Verify API's answer was withheld"},
	ClientLeft:           {InternalError, 499, true, "connection_terminated", "The client left before the Verify API answered"},
	GatewayLost:          {InternalError, http.StatusGatewayTimeout, false, "http_response_timeout", "Another gateway took the call and has not told what became of it"},

	BreakerOpen:           {InternalError, http.StatusServiceUnavailable, false, "destination_unavailable", "The Verify API is in trouble and is not called for now"},
	LimitReached:          {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "The account's limit of calls a second is reached"},
	CallerLimitReached:    {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "The caller's own limit of calls a second is reached"},
	CallerBusy:            {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "The caller has as many calls under way as it may have"},
	AccountThrottled:      {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "The Verify API has throttled the account, and the gateway makes fewer calls for now"},
	TooManyUnderWay:       {Throttled, http.StatusTooManyRequests, false, "connection_limit_reached", "Too many calls are under way"},
	AccountBadCredentials: {BadCredentials, http.StatusBadGateway, false, "http_request_denied", "The Verify API refuses the gateway's credentials"},
	AccountIsBarred:       {AccountBarred, http.StatusBadGateway, false, "http_request_denied", "The Verify API has barred the account"},
	AccountNoCredit:       {NoCredit, http.StatusBadGateway, false, "http_request_denied", "The account has no credit left"},
	StoreAway:             {InternalError, http.StatusServiceUnavailable, false, "destination_unavailable", "Whether another gateway has started the verification is not known, for the store does not answer"},
	InvariantBroken:       {InternalError, http.StatusInternalServerError, false, "proxy_internal_error", "The gateway has noticed a fault of its own and held this back"},
	GuardRefused:          {NumberBlocked, http.StatusForbidden, false, "http_request_denied", "Gateway guard"},
	IdempotencyKeyReused:  {Invalid, http.StatusUnprocessableEntity, false, "http_request_error", "The Idempotency-Key was used for another call"},
}

// printable makes a name fit to be read back: short, and without what could
// break a log line or a terminal.
func printable(name string) string {
	const most = 64
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > most {
		name = string(runes[:most]) + "…"
	}
	return name
}
