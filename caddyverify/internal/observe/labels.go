package observe

import (
	"log/slog"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Source is who gave an answer.
type Source string

// The sources.
const (
	FromUpstream Source = "upstream"
	FromMemory   Source = "cache"
	FromGateway  Source = "gateway"
	FromGuard    Source = "guard" // a start that it refused, which is nobody's trouble
)

// AttemptOutcome is how an attempt at a call ended.
type AttemptOutcome string

// The outcomes of attempts.
const (
	OutcomeAnswered  AttemptOutcome = "answered"
	OutcomeTimeout   AttemptOutcome = "timeout"
	OutcomeConnect   AttemptOutcome = "connect"
	OutcomeTLS       AttemptOutcome = "tls"
	OutcomeLost      AttemptOutcome = "connection_lost"
	OutcomeHTTP3xx   AttemptOutcome = "http_3xx"
	OutcomeHTTP4xx   AttemptOutcome = "http_4xx"
	OutcomeHTTP5xx   AttemptOutcome = "http_5xx"
	OutcomeBadBody   AttemptOutcome = "bad_body"
	OutcomeRejected  AttemptOutcome = "rejected_open"
	OutcomeCancelled AttemptOutcome = "cancelled"
)

// AttemptOutcomes lists them.
var AttemptOutcomes = [...]AttemptOutcome{
	OutcomeAnswered, OutcomeTimeout, OutcomeConnect, OutcomeTLS, OutcomeLost,
	OutcomeHTTP3xx, OutcomeHTTP4xx, OutcomeHTTP5xx, OutcomeBadBody, OutcomeRejected, OutcomeCancelled,
}

// OutcomeOf names how a call that was made ended.
func OutcomeOf(answer *wire.Answer) AttemptOutcome {
	if answer.Fault == nil || answer.Fault.Refused { // a further request of the call was, see Another
		return OutcomeAnswered
	}
	switch answer.Fault.Cause {
	case wire.UpstreamTimeout:
		return OutcomeTimeout
	case wire.ConnectFailed:
		return OutcomeConnect
	case wire.TLSFailed:
		return OutcomeTLS
	case wire.ConnectionLost:
		return OutcomeLost
	case wire.UpstreamThrottled, wire.UpstreamUnauthorized:
		return OutcomeHTTP4xx
	case wire.UpstreamError:
		switch answer.Fault.UpstreamCode / 100 {
		case 3:
			return OutcomeHTTP3xx
		case 4:
			return OutcomeHTTP4xx
		case 5:
			return OutcomeHTTP5xx
		}
	case wire.ClientLeft:
		return OutcomeCancelled
	case wire.StoreAway: // version 1 has said nothing of it, and version 2 is not asked
		return OutcomeAnswered
	}
	return OutcomeBadBody
}

// expected lists the statuses that the API documents for an operation, and of all of them
// those of trouble, which nothing may hide.
var expected = [...][]string{
	wire.Request: {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "15", "20", "29"},
	wire.Check:   {"0", "1", "2", "3", "4", "5", "6", "8", "9", "16", "17"},
	wire.Search:  {"IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED", "list", "1", "2", "3", "4", "5", "6", "8", "9", "18", "101"},
	wire.Control: {"0", "1", "2", "3", "4", "5", "6", "8", "9", "19"},
	wire.PSD2:    {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "15", "29"},
	// Done, throttled, refused, and trouble; HTTP's codes say more.
	wire.Templates: {"0", "1", "3", "5"},
}

// kept lists those of answers that are given from memory again: of trouble, that after
// which something may have been sent.
var kept = [...][]string{
	wire.Request: {"0", "5", "10"},
	wire.Check:   {"0", "5", "6", "16", "17"},
	wire.Search:  {"IN PROGRESS", "SUCCESS", "FAILED", "EXPIRED", "CANCELLED", "list", "101"},
	wire.Control: {"0", "5", "19"},
	wire.PSD2:    {"0", "5", "10"},

	wire.Templates: nil,
}

// statusesOf lists the values of the label status for the answers that a source gives to
// calls of an operation. All else is otherLabel.
func statusesOf(o wire.Operation, source Source) []string {
	switch source {
	case FromUpstream:
		return expected[o]
	case FromMemory:
		return kept[o]
	case FromGateway:
		if o == wire.Search {
			return []string{"1", "2", "3", "4", "5", "6", "8", "9", "18"}
		}
	case FromGuard:
		if o.Starts() {
			return []string{"1", "7", "9", "10", "15"}
		}
		return nil
	}
	return []string{"1", "2", "3", "4", "5", "8", "9"}
}

// Values of labels that stand for many.
const (
	otherLabel = "other" // all that have no value of their own
	anyLabel   = "any"   // operations that are not told apart
	failed     = "failed"
)

// sources lists who gives answers, but for the guard, which may be off.
var sources = [...]Source{FromUpstream, FromMemory, FromGateway}

// known holds all statuses that are a value of the label.
var known = func() map[wire.Status]string {
	all := map[wire.Status]string{}
	for _, o := range wire.Operations {
		for _, source := range sources {
			for _, s := range statusesOf(o, source) {
				all[wire.Status(s)] = s
			}
		}
	}
	return all
}()

// StatusLabel is the value of the label status for an answer.
func StatusLabel(answer *wire.Answer) string {
	if answer.List {
		return "list"
	}
	if label, ok := known[answer.Status]; ok {
		return label // not a part of what came in
	}
	return otherLabel
}

// IsError tells the answers that are nobody's business as usual: the upstream, the
// account or the call itself is wrong. A wrong code, a verification that is over,
// or one that runs already, is an answer.
func IsError(o wire.Operation, answer *wire.Answer) bool {
	if answer.Fault != nil {
		return answer.Fault.Cause != wire.ClientLeft
	}
	switch answer.Status {
	case wire.Success, wire.Concurrent, wire.WrongCode, wire.TooManyWrongCodes, wire.CannotControl, wire.NoResponse:
		return false
	case wire.NotFoundOrFinished:
		return o.Starts() || o == wire.Search // not routed; wrong parameters
	}
	return answer.Status.Numeric()
}

// Trouble tells the answers that an operator should know of: not what a client
// sent or did is wrong, but the upstream, the account or the network.
func Trouble(answer *wire.Answer) bool {
	if answer.Fault != nil {
		return answer.Fault.Trouble()
	}
	switch answer.Status {
	case wire.Throttled, wire.BadCredentials, wire.InternalError, wire.AccountBarred, wire.NoCredit:
		return true
	}
	return false
}

// Level is the level of an answer's log line: warn for what an operator should look
// into, info for trouble that follows from other lines or passes by itself, debug for
// all else.
func Level(answer *wire.Answer) slog.Level {
	if answer.Fault != nil && answer.Fault.Cause == wire.GuardRefused {
		return slog.LevelInfo
	}
	if !Trouble(answer) {
		return slog.LevelDebug
	}
	if answer.Fault == nil {
		if answer.Status == wire.Throttled {
			return slog.LevelInfo
		}
		return slog.LevelWarn
	}
	switch answer.Fault.Cause {
	case wire.BreakerOpen, wire.StoreAway, wire.AccountBadCredentials, wire.AccountIsBarred, wire.AccountNoCredit, wire.AccountThrottled, // their beginning has a line of its own
		wire.LimitReached, wire.CallerLimitReached, wire.CallerBusy, wire.TooManyUnderWay, wire.UpstreamThrottled: // the applications', and often
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// ErrorType is the value of error.type, the same on spans for the same cause.
func ErrorType(answer *wire.Answer) string {
	if answer.Fault != nil {
		return string(answer.Fault.Cause)
	}
	return "verify_" + StatusLabel(answer)
}
