package sandbox

import (
	"math"
	"slices"
	"time"
)

const (
	minLimit = 0.001
	maxLimit = 100_000
)

// limit is an exact sliding window: never more than so many calls are allowed
// within any window, wherever the window begins.
type limit struct {
	times  []time.Time // the latest allowed calls, as a ring; as many as the highest limit so far
	oldest int
}

// allow counts the call if it is among perSecond calls a second; negative is no
// limit. A fraction is kept to by another window: 0.5 is one call in two seconds.
// It goes by real time, as the callers' own limiters do, not by the sandbox's clock.
func (l *limit) allow(perSecond float64) bool {
	if perSecond < 0 {
		return true
	}
	n := int(max(1, math.Floor(perSecond)))
	window := time.Duration(float64(n) / perSecond * float64(time.Second))
	if more := n - len(l.times); more > 0 {
		l.times = slices.Concat(make([]time.Time, more), l.times[l.oldest:], l.times[:l.oldest])
		l.oldest = 0
	}
	now := time.Now()
	size := len(l.times)
	if first := l.times[(l.oldest+size-n)%size]; !first.IsZero() && now.Sub(first) < window {
		return false
	}
	l.times[l.oldest] = now
	l.oldest = (l.oldest + 1) % size
	return true
}
