//go:build race

package redis

import "time"

// With the race detector, what 400 callers ask is more than a machine can do in time.
const (
	callers = 40
	late    = 50 * time.Millisecond
)
