package v2

import (
	"net/http"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// refused says in v1's words what v2 has refused. What is no problem of the API's own says
// nothing about the call.
func (c *Client) refused(call *wire.Call, r *reply) wire.Answer {
	if !r.isProblem {
		return r.useless()
	}
	o, id := call.Operation, call.RequestID()
	switch r.Code {
	case http.StatusUnauthorized:
		if r.problem.says("quota") {
			return refusal(call, wire.NoCredit, "")
		}
		return r.unauthorized(call, wire.BadCredentials)
	case http.StatusPaymentRequired:
		return refusal(call, wire.NoCredit, "")
	case http.StatusForbidden:
		if r.problem.says("suspended", "unprovisioned") {
			return refusal(call, wire.AccountBarred, "")
		}
		return r.unauthorized(call, wire.AccountBarred)
	case http.StatusTooManyRequests:
		return refusal(call, wire.Throttled, "")
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return r.invalid(call)
	case http.StatusPreconditionFailed:
		if o == wire.Request {
			return refusal(call, wire.UnsupportedNetwork, "")
		}
	case http.StatusNotFound, http.StatusGone:
		if o != wire.Request { // which names no verification that could be missing
			return refusal(call, wire.NotFoundOrFinished, id)
		}
	case http.StatusConflict:
		return r.conflict(call)
	}
	return r.useless()
}

// unauthorized says that the provider refuses the account, if it does: to a client's call it may say
// so of a channel or template that the account may not use. To a call of the gateway's own it is the
// account's.
func (r *reply) unauthorized(call *wire.Call, status wire.Status) wire.Answer {
	if call.Probe {
		return refusal(call, status, "")
	}
	return r.Withheld(&wire.Fault{Cause: wire.UpstreamUnauthorized})
}

// conflict says what state a verification is not in.
func (r *reply) conflict(call *wire.Call) wire.Answer {
	switch {
	case call.Operation != wire.Control:
		return refusal(call, wire.NotFoundOrFinished, call.RequestID())
	case r.tooSoon():
		return refusal(call, wire.InternalError, "")
	}
	return refusal(call, wire.CannotControl, call.RequestID())
}

// names are v1's for v2's parameters.
var names = map[string]string{
	"to": "number", "brand": "brand", "from": "sender_id", "locale": "lg", "channel_timeout": "next_event_wait",
	"code_length": "code_length", "code": "pin_code", "workflow": "workflow_id", "channel": "workflow_id", "reuse_code": "pin_expiry",
}

// invalid says by v1's name which parameter is wrong. Where v2 names none that v1 has, the text
// says no more than that one is.
func (r *reply) invalid(call *wire.Call) wire.Answer {
	refuse := func(status wire.Status, text string) wire.Answer {
		return wire.Refusal(call.Operation, call.Format, status, "", text)
	}
	if o := call.Operation; !o.Starts() {
		if o == wire.Control || len(r.problem.invalid) > 0 && r.problem.invalid[0] == "request_id" {
			return refuse(wire.Invalid, "Invalid value for param: request_id")
		}
		return refuse(wire.Invalid, "Invalid value for param: code")
	}
	var name string
	for _, invalid := range r.problem.invalid {
		if name = names[invalid]; name != "" {
			break
		}
	}
	switch {
	case name == "":
		return refuse(wire.Invalid, "Invalid value for one or more params")
	case r.problem.required:
		return refuse(wire.Missing, "Your request is incomplete and missing the mandatory parameter: "+name)
	case name == "pin_code": // a code that is one, but not for this account
		return refuse(wire.PinCodeNotSupported, sentences[wire.PinCodeNotSupported])
	case name == "number":
		return refuse(wire.Invalid, "Invalid value for number")
	}
	return refuse(wire.Invalid, "Invalid value for param: "+name)
}

// sentences are v1's, by status.
var sentences = map[wire.Status]string{
	wire.Throttled:           "Throttled",
	wire.BadCredentials:      "Bad credentials",
	wire.InternalError:       "Internal Error",
	wire.AccountBarred:       "The api_key you supplied is for an account that has been barred from submitting messages.",
	wire.NoCredit:            "Partner quota exceeded",
	wire.Concurrent:          "Concurrent verifications to the same number are not allowed",
	wire.UnsupportedNetwork:  "The destination number is not in a supported network",
	wire.WrongCode:           "The code provided does not match the expected value",
	wire.TooManyWrongCodes:   "The wrong code was provided too many times. Request terminated",
	wire.PinCodeNotSupported: "This account does not support the parameter: pin_code.",
	wire.NoResponse:          "No response found",
}

// refusal answers a call with a status and v1's sentence. requestID is the verification that it is
// about; "" for none.
func refusal(call *wire.Call, status wire.Status, requestID string) wire.Answer {
	text, named := sentences[status], ""
	switch {
	case status == wire.Concurrent, status == wire.WrongCode:
		named = requestID
	case status == wire.BadCredentials && call.Operation.Starts():
		text = "Invalid credentials were provided"
	case status == wire.CannotControl:
		text = "No more events are left to execute for the request ['" + requestID + "']"
	case status == wire.NotFoundOrFinished && call.Operation == wire.Control:
		text = "The requestId '" + requestID + "' does not exist or its no longer active."
	case status == wire.NotFoundOrFinished:
		text = "The Vonage platform was unable to process this message for the following reason: Request '" + requestID +
			"' was not found or it has been verified already."
	}
	return wire.Refusal(call.Operation, call.Format, status, named, text)
}
