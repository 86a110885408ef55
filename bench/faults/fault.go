package main

import "math/rand/v2"

// fault is what the network does to one upstream call.
type fault int

const (
	none fault = iota

	// Resets before the API has handled the call.
	resetBefore  // nothing of the call passes
	resetRequest // half of it passes

	// Resets after, or while, the API handles it.
	resetUnread // the call passes, and nobody waits for the answer
	resetAfter  // the answer comes, and is dropped
	resetAnswer // half of the answer passes

	latency   // the answer comes 20 to 300 ms later
	drip      // the answer comes in 40 pieces
	bandwidth // 16 KiB a second in both directions
	halfClose // one side of the connection is closed, see relay.halfClosed
	hangUp    // the connection is closed after the answer, when the gateway takes it for idle
	lowCode   // the answer comes with HTTP status code 99
	waf400    // a web application firewall answers in place of the API, by HTTP 400 with a page of HTML
	waf403    // the same, by HTTP 403
	timeout   // no answer, whether or not the API has handled the call

	faults
)

// String returns the word in the report.
func (f fault) String() string {
	return [...]string{
		"none", "reset_before", "reset_request", "reset_unread", "reset_after", "reset_answer",
		"latency", "drip", "bandwidth", "half_close", "hang_up", "low_code", "waf_400", "waf_403", "timeout",
	}[f]
}

// firewall tells a fault that is about what a call says. Searches say nothing that a
// firewall minds, the gateway's own among them.
func (f fault) firewall() bool { return f == waf400 || f == waf403 }

// draw picks the fault of one call: a kind of reset with a chance of resets
// percent, half of them before the call was handled, or another one. Timeouts are
// rare, since each takes as long as fifty other calls.
func draw(r *rand.Rand, resets, others float64) fault {
	switch x := 100 * r.Float64(); {
	case x < resets/2:
		return resetBefore + fault(r.IntN(2))
	case x < resets:
		return resetUnread + fault(r.IntN(3))
	case x < resets+others:
		if r.IntN(25) == 0 {
			return timeout
		}
		return latency + fault(r.IntN(int(timeout-latency)))
	}
	return none
}
