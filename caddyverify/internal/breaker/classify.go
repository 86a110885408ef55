package breaker

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// Verdict is what an outcome means to a closed circuit.
type Verdict uint8

// The verdicts. Only Failure and Success are counted.
const (
	// Excluded says nothing about the upstream's health.
	Excluded Verdict = iota
	// Alive is an answer about the caller's own input: the upstream lives, but
	// wrong codes typed by users must not make up for failures.
	Alive
	// Success is a call that did what it was meant to do.
	Success
	// Failure is the upstream's fault, or the network's.
	Failure
)

// String returns the name, for tests.
func (v Verdict) String() string {
	return [...]string{"excluded", "alive", "success", "failure"}[v]
}

// Classification is all that a breaker wants to know about an outcome.
type Classification struct {
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
	success  = Classification{Verdict: Success, Answered: true, Closes: true}
	alive    = Classification{Verdict: Alive, Answered: true, Closes: true}
	failure  = Classification{Verdict: Failure, Answered: true}
	silence  = Classification{Verdict: Failure}
	noDial   = Classification{Verdict: Failure, DialFailure: true}
	throttle = Classification{Verdict: Excluded, Answered: true}
	// An HTTP 4xx with no answer of the API is about one call: what a firewall
	// thinks of its text, say. It moves nothing that others have a part in, but
	// something on the provider's side is there.
	callers = Classification{Verdict: Alive, Closes: true}
	// The account's trouble is not the upstream's and has its own alarm, package
	// suspend. A probe that hears of it closes the circuit: else checks, which go on
	// while the account is in trouble, would be stopped for as long.
	account = Classification{Verdict: Excluded, Answered: true, Closes: true}
)

// byCause is the table for outcomes that the gateway has to report itself. A
// cause that is not in it is the gateway's own refusal, or the client's leaving:
// Excluded.
var byCause = map[wire.Cause]Classification{
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
// it is about the caller's input, as far as is known: Alive.
var byStatus = map[wire.Status]Classification{
	wire.Success:        success,
	wire.InternalError:  failure,
	wire.Throttled:      throttle,
	wire.BadCredentials: account,
	wire.AccountBarred:  account,
	wire.NoCredit:       account,
}

// Classify decides what an outcome means. The operation does not change that: it
// decides which of the two breakers is told.
func Classify(answer wire.Answer) Classification {
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
	if classified, ok := byStatus[answer.Status]; ok {
		return classified
	}
	return alive
}

// why names an outcome in a log line: a fault's cause or a Verify status.
func why(answer wire.Answer) string {
	if answer.Fault != nil {
		return string(answer.Fault.Cause)
	}
	return "status " + string(answer.Status)
}
