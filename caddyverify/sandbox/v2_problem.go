package sandbox

import (
	"net/http"
	"strings"
)

// problem is an error of v2, before it is written as application/problem+json.
type problem struct {
	code          int
	title, detail string
	slug          string // ends the type
	requestID     string
	invalid       []invalidParameter
}

type invalidParameter struct{ name, reason string }

var (
	unauthorized = problem{code: http.StatusUnauthorized, title: "Unauthorized", detail: "You did not provide correct credentials.", slug: "unauthorized"}
	badSignature = problem{code: http.StatusUnauthorized, title: "Unauthorized", detail: "You did not provide correct credentials.", slug: "invalid-signature"}
	jwtExpired   = problem{code: http.StatusUnauthorized, title: "You did not provide correct credentials.", detail: "The JWT provided has expired.", slug: "jwt-expired"}
	quota        = problem{code: http.StatusUnauthorized, title: "Quota Exceeded", detail: "Quota Exceeded - rejected", slug: "quota-exceeded"}
	lowBalance   = problem{code: http.StatusPaymentRequired, title: "Low balance", detail: "This request could not be performed due to your account balance being low.", slug: "low-balance"}
	suspended    = problem{code: http.StatusForbidden, title: "Forbidden", detail: "Your account has been suspended.", slug: "account-suspended"}
	unprovided   = problem{code: http.StatusForbidden, title: "Forbidden", detail: "Your account is not provisioned to send to this number.", slug: "unprovisioned"}
	concurrent   = problem{code: http.StatusConflict, title: "Conflict", detail: "Concurrent verifications to the same number are not allowed.", slug: "concurrent"}
	noCode       = problem{code: http.StatusConflict, title: "Conflict", detail: "The current Verify workflow step does not support a code.", slug: "no-code"}
	noEvents     = problem{code: http.StatusConflict, title: "Conflict", detail: "There are no more events left to trigger.", slug: "no-events"}
	notNow       = problem{code: http.StatusConflict, title: "Conflict", detail: "The operation cannot be performed at this time. Please try again later.", slug: "conflict"}
	wrongCode    = problem{code: http.StatusBadRequest, title: "Invalid Code", detail: "The code you provided does not match the expected value.", slug: "invalid-code"}
	terminated   = problem{code: http.StatusGone, title: "Invalid Code", detail: "An incorrect code has been provided too many times. Workflow terminated.", slug: "expired"}
	noNetwork    = problem{code: http.StatusPreconditionFailed, title: "Silent authentication failed", detail: "Network not supported", slug: "precondition-failed"}
	throttled    = problem{code: http.StatusTooManyRequests, title: "Rate Limit Hit", detail: "Please wait, then retry your request", slug: "throttled"}
	internal     = problem{code: http.StatusInternalServerError, title: "Internal error", detail: "There was an error processing your request in the Platform.", slug: "internal-error"}
	unreadable   = problem{code: http.StatusBadRequest, title: "Bad Request", detail: "Invalid JSON", slug: "bad-request"}
)

func notFound(id string) problem {
	return problem{code: http.StatusNotFound, title: "Not Found", detail: "Request " + id + " was not found or it has been verified already.", slug: "request-not-found"}
}

func invalidParams(invalid ...invalidParameter) problem {
	return problem{
		code: http.StatusUnprocessableEntity, title: "Invalid params", detail: "The value of one or more parameters is invalid.",
		slug: "invalid-params", invalid: invalid,
	}
}

// spelling is one of the ways in which the provider has been seen to write problems.
type spelling struct {
	prefix     string // of type, which is left out where it is ""
	generic    bool   // the slug says what the HTTP status says
	concurrent string // the slug of a concurrent verification
	single     bool   // invalid_parameters is an object
}

// spellings come one after another. Those that answer by HTTP status alone leave it to
// the reader to tell one conflict from another by its detail.
var spellings = [...]spelling{
	{prefix: "https://developer.vonage.com/en/api-errors/verify-v2#", concurrent: "concurrent"},
	{prefix: "https://www.developer.vonage.com/api-errors/verify#", concurrent: "conflict", single: true},
	{prefix: "https://developer.nexmo.com/api-errors#", concurrent: "conflict", generic: true},
	{},
}

// problem writes the problem in the next spelling. The caller holds s.mu.
func (s *Sandbox) problem(p problem) answer {
	how := spellings[s.problems%len(spellings)]
	s.problems++
	return problemAnswer(how, p)
}

func problemAnswer(how spelling, p problem) answer {
	a := answer{httpStatus: p.code, media: "application/problem+json", outcome: p.slug, requestID: p.requestID}
	a.fields = object{{name: "title", value: p.title}}
	if how.prefix != "" {
		slug := p.slug
		switch {
		case slug == concurrent.slug:
			slug = how.concurrent
		case how.generic:
			slug = strings.ReplaceAll(strings.ToLower(http.StatusText(p.code)), " ", "-")
		}
		a.fields = append(a.fields, field{name: "type", value: how.prefix + slug})
	}
	a.fields = append(a.fields, field{name: "detail", value: p.detail}, field{name: "instance", value: newEventID()})
	if p.requestID != "" {
		a.fields = append(a.fields, field{name: "request_id", value: p.requestID})
	}
	if len(p.invalid) > 0 {
		f := field{name: "invalid_parameters", single: how.single}
		for _, i := range p.invalid {
			f.list = append(f.list, object{{name: "name", value: i.name}, {name: "reason", value: i.reason}})
		}
		a.fields = append(a.fields, f)
	}
	return a
}

// conflict is the refusal of a second verification: two in three say which the first is.
// The caller holds s.mu.
func (s *Sandbox) conflict(running string) answer {
	p := concurrent
	s.conflicts++
	if s.conflicts%3 != 0 {
		p.requestID = running
	}
	a := s.problem(p)
	a.requestID = running
	return a
}

// counterpart is v2's answer where v1 has a status.
func (s *Sandbox) counterpart(c call, status string) answer {
	switch status {
	case "10":
		return s.conflict(newEventID())
	case "6":
		if c.v2.id != "" {
			return s.problem(notFound(c.v2.id))
		}
	}
	p, ok := counterparts[status]
	if !ok {
		p = internal
	}
	return s.problem(p)
}

// counterparts are by the status of v1.
var counterparts = map[string]problem{
	"1":  throttled,
	"2":  unauthorized,
	"3":  invalidParams(invalidParameter{"to", "The number is not valid."}),
	"4":  unauthorized,
	"5":  internal,
	"6":  invalidParams(invalidParameter{"to", "The request could not be routed."}),
	"8":  suspended,
	"9":  quota,
	"15": invalidParams(invalidParameter{"to", "The destination number is not in a supported network."}),
	"16": wrongCode,
	"17": terminated,
	"19": noEvents,
	"20": invalidParams(invalidParameter{"code", "This account may not choose its codes."}),
	"29": unprovided,
}
