//go:build !e2e

package redis

// How long tests run that are run longer with the tag e2e.
const (
	mustHaveServer = false
	raceRounds     = 1000
)
