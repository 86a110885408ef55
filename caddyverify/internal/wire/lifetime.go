package wire

import (
	"strconv"
	"time"
)

// waits are the times between the events of each workflow and after its last one,
// by the provider's guide to workflows. Without a workflow_id it is 1.
func waits(workflow string) []time.Duration {
	const s = time.Second
	switch workflow {
	case "3", "6", "7":
		return []time.Duration{300 * s}
	case "4", "5":
		return []time.Duration{120 * s, 180 * s}
	}
	return []time.Duration{125 * s, 180 * s, 300 * s}
}

// Lifetime is how long the verification that a request or psd2 starts can be under way at
// most: its events one after the other, where next_event_wait takes the place of
// the workflow's own times, and a PIN made for the last event that is valid for
// pin_expiry.
func (c *Call) Lifetime() time.Duration {
	wait, waitGiven := seconds(c.Get("next_event_wait"), 60, 900)
	pin, _ := seconds(c.Get("pin_expiry"), 60, 3600)
	var total, last time.Duration
	for _, last = range waits(c.Get("workflow_id")) {
		if waitGiven {
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
		return 0, false // without making an error of it
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0, false
	}
	return time.Duration(min(max(n, least), most)) * time.Second, true
}
