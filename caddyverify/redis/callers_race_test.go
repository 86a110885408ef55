//go:build race

package redis

// With the race detector, what 400 callers ask is more than a machine can do in time.
const callers = 40
