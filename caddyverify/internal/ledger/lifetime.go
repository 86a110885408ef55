package ledger

import (
	"strconv"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Workflows lists the values of Start.Workflow: the API's workflow_id, "default"
// where a request has none, and "other" for one that is not documented.
var Workflows = [...]string{"default", "1", "2", "3", "4", "5", "6", "7", "other"}

// workflowOf returns the entry of Workflows for a request.
func workflowOf(call *wire.Call) string {
	id := call.Get("workflow_id")
	if id == "" {
		return "default"
	}
	for _, known := range Workflows[1:8] {
		if id == known {
			return known
		}
	}
	return "other"
}

// waits are the times between the events of each workflow and after its last one,
// by the provider's guide to workflows; 0 where it has fewer. Without a
// workflow_id it is 1.
func waits(workflow string) [3]time.Duration {
	const s = time.Second
	switch workflow {
	case "3":
		return [...]time.Duration{300 * s, 0, 0}
	case "4", "5":
		return [...]time.Duration{120 * s, 180 * s, 0}
	case "6", "7":
		return [...]time.Duration{300 * s, 0, 0}
	}
	return [...]time.Duration{125 * s, 180 * s, 300 * s}
}

// lifetime is how long a verification can be under way at most: its events one
// after the other, where next_event_wait takes the place of the workflow's own
// times, and a PIN made for the last event that is valid for pin_expiry.
func lifetime(call *wire.Call) time.Duration {
	wait, waitGiven := seconds(call.Get("next_event_wait"), 60, 900)
	pin, _ := seconds(call.Get("pin_expiry"), 60, 3600)
	var total, last time.Duration
	for _, usual := range waits(workflowOf(call)) {
		if usual == 0 {
			break
		}
		if last = usual; waitGiven {
			last = wait
		}
		total += last
	}
	return total + max(pin-last, 0)
}

// seconds reads a parameter within its documented bounds. What lies outside is
// taken for the bound, what is no number is not given.
func seconds(value string, least, most int) (time.Duration, bool) {
	if value == "" {
		return 0, false // the usual case, spared the making of an error
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(max(n, least), most)) * time.Second, true
}
