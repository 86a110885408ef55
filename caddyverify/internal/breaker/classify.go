package breaker

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// Verdict is what an outcome means to a closed circuit.
type Verdict uint8

// The verdicts. Only failed and Succeeded are counted.
const (
	// Neutral says nothing about the upstream's health.
	Neutral Verdict = iota
	// Alive is an answer about the caller's own input: the upstream lives, but
	// wrong codes typed by users must not make up for failures.
	Alive
	// Succeeded is a call that did what it was meant to do.
	Succeeded
	// Failed is the upstream's fault, or the network's.
	Failed
)

// String returns the name, for tests.
func (v Verdict) String() string {
	return [...]string{"neutral", "alive", "succeeded", "failed"}[v]
}

// Class is all that a breaker wants to know about an outcome.
type Class struct {
	Verdict Verdict
	// DialFailure tells that no connection was made.
	DialFailure bool
	// Answered tells that bytes came back over a connection. It ends a row of
	// failed connections.
	Answered bool
	// Closes tells that the circuit closes when a probe ends like this.
	Closes bool
}

var (
	success  = Class{Verdict: Succeeded, Answered: true, Closes: true}
	input    = Class{Verdict: Alive, Answered: true, Closes: true}
	failure  = Class{Verdict: Failed, Answered: true}
	silence  = Class{Verdict: Failed}
	noDial   = Class{Verdict: Failed, DialFailure: true}
	throttle = Class{Verdict: Neutral, Answered: true}
	// An HTTP 4xx with no answer of the API is about one call: what a firewall
	// thinks of its text, say. It moves nothing that others have a part in, but
	// something on the provider's side is there.
	callers = Class{Verdict: Alive, Closes: true}
	// The account's trouble is not the upstream's and suspends it elsewhere. A probe
	// that hears of it closes the circuit: else checks, which go on while the account
	// is in trouble, would be stopped for as long.
	account = Class{Verdict: Neutral, Answered: true, Closes: true}
)

// byCause is the table for outcomes that the gateway has to report itself. A
// cause that is not in it is the gateway's own refusal, or the client's leaving:
// Neutral.
var byCause = map[wire.Cause]Class{
	wire.ConnectFailed:        noDial,
	wire.TLSFailed:            noDial,
	wire.UpstreamTimeout:      silence,
	wire.ConnectionLost:       silence,
	wire.UpstreamError:        failure,
	wire.AnswerTooLarge:       failure,
	wire.AnswerUnreadable:     failure,
	wire.AnswerWithSecret:     failure, // of no use to the caller, yet paid for
	wire.UpstreamThrottled:    throttle,
	wire.UpstreamUnauthorized: account,
}

// byStatus is the table for the upstream's own answers. A number that is not in
// it is about the caller's input, as far as is known.
var byStatus = map[wire.Status]Class{
	wire.Success:        success,
	wire.InternalError:  failure,
	wire.Throttled:      throttle,
	wire.BadCredentials: account,
	wire.AccountBarred:  account,
	wire.NoCredit:       account,
}

// Classify decides what an outcome means. The operation does not change that: it
// decides which of the two breakers is told.
func Classify(answer wire.Answer) Class {
	if answer.Fault != nil {
		if answer.Fault.Cause == wire.UpstreamError && answer.Fault.UpstreamCode/100 == 4 {
			return callers
		}
		return byCause[answer.Fault.Cause]
	}
	if answer.Code >= 500 {
		return failure // whatever the body says
	}
	if answer.List || !answer.Status.Numeric() { // what a search found
		return success
	}
	if known, ok := byStatus[answer.Status]; ok {
		return known
	}
	return input
}

// why names an outcome in a log line: a fault's cause or a Verify status.
func why(answer wire.Answer) string {
	if answer.Fault != nil {
		return string(answer.Fault.Cause)
	}
	return "status " + string(answer.Status)
}
