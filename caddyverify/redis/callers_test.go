//go:build !race

package redis

import "time"

const (
	callers = 400
	// late is the most that a call may take while the store is in trouble.
	late = 25 * time.Millisecond
)
