package wire

import (
	"strconv"
	"time"
)

// Waits are the times between the messages of a workflow and after its last one, by the
// provider's guide to workflows. Any other value than those documented is taken for none, which
// is 1. They are not to be written to.
func Waits(workflow string) []time.Duration {
	switch workflow {
	case "3", "4", "5":
		return twoMessages[:]
	case "6", "7":
		return oneMessage[:]
	}
	return threeMessages[:]
}

var (
	oneMessage    = [...]time.Duration{300 * time.Second}
	twoMessages   = [...]time.Duration{120 * time.Second, 180 * time.Second}
	threeMessages = [...]time.Duration{125 * time.Second, 180 * time.Second, 300 * time.Second}
)

// DefaultPINExpiry is how long a code is valid where a request does not say.
const DefaultPINExpiry = 300 * time.Second

// Timing is what a request or psd2 says about the times of its verification.
type Timing struct {
	// Wait takes the place of the workflow's own times; 0 where it is not given.
	Wait time.Duration
	// PIN is how long a code is valid; 0 where it is not given.
	PIN time.Duration
}

// Timing returns what a request or psd2 says.
func (c *Call) Timing() Timing {
	if c.Raw != nil {
		return Timing{Wait: c.Raw.Wait}
	}
	return Timing{Wait: seconds(c.Get("next_event_wait"), 60, 900), PIN: seconds(c.Get("pin_expiry"), 60, 3600)}
}

// Lifetime is how long a verification of a workflow can be under way at most: its messages one
// after the other, and a PIN made for the last one.
func (t Timing) Lifetime(workflow string) time.Duration {
	var total, last time.Duration
	for _, last = range Waits(workflow) {
		if t.Wait > 0 {
			last = t.Wait
		}
		total += last
	}
	return total + max(t.PIN-last, 0)
}

// Lifetime is how long the verification that a request or psd2 starts can be under way at
// most.
func (c *Call) Lifetime() time.Duration {
	if c.Raw != nil {
		return time.Duration(c.Messages()) * c.Raw.Wait
	}
	return c.Timing().Lifetime(c.Get("workflow_id"))
}

// Messages is how many messages and calls the verification that a request or psd2 starts can bring
// about at most.
func (c *Call) Messages() int {
	if c.Raw != nil {
		return len(c.Raw.Workflow)
	}
	return len(Waits(c.Get("workflow_id")))
}

// seconds reads a parameter within its documented bounds. What lies outside is
// taken for the bound, what is no number is not given.
func seconds(value string, least, most int) time.Duration {
	if value == "" {
		return 0 // without making an error of it
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return time.Duration(min(max(n, least), most)) * time.Second
}
