//go:build e2e

package redis

const (
	mustHaveServer = true
	raceRounds     = 10_000
)
