package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// forcedPrefix and two digits, the status, make a number that forces a status of
// Verify Request. It is a range kept for drama: the numbers belong to nobody.
const forcedPrefix = "4477009001"

var forced = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "15", "20", "29"}

// forcedStatus is the status that a number forces, "" for most.
func forcedStatus(number string) string {
	ending, ok := strings.CutPrefix(number, forcedPrefix)
	status := strings.TrimPrefix(ending, "0")
	if !ok || len(ending) != 2 || !slices.Contains(forced, status) {
		return ""
	}
	return status
}

// forcedNumber is the number that forces a status.
func forcedNumber(status string) string { return fmt.Sprintf("%s%02s", forcedPrefix, status) }

const (
	holds4 = "caddy-verify in front of this answers requests, searches and controls with 4 by itself for 30 s; checks go on"
	holds8 = "caddy-verify in front of this answers requests, searches and controls with 8 by itself for 30 s; checks go on"
	holds9 = "caddy-verify in front of this answers requests with 9 by itself for 30 s; all else goes on"
	// In v2 a 401 may be about the one call.
	alone4 = "caddy-verify in front of this answers this call with 4, and others by itself only where its own question, a check of an unused id, is refused, too"
)

// gatewayHolds warns who tries out what refuses the account that caddy-verify in front
// of this keeps calls from coming here for a while.
var gatewayHolds = map[string]string{
	"4": holds4,
	"8": holds8,
	"9": holds9,

	// What the same comes to in v2.
	"unauthorized":      alone4,
	"invalid-signature": alone4,
	"account-suspended": holds8,
	"unprovisioned":     "where type names it, " + holds8 + "; where it does not, this call alone is answered with 4",
	"quota-exceeded":    holds9,
	"low-balance":       holds9,
}
