package sandbox

import (
	"math"
	"time"
)

const (
	minLimit = 0.001
	maxLimit = 100_000
)

// limit is an exact sliding window: never more than len(times) calls are
// allowed within any window, wherever the window begins.
type limit struct {
	window time.Duration
	times  []time.Time // the latest allowed calls, as a ring
	oldest int
}

// newLimit allows perSecond calls a second; negative is nil: no limit. A
// fraction is kept to by another window: 0.5 is one call in two seconds.
func newLimit(perSecond float64) *limit {
	if perSecond < 0 {
		return nil
	}
	n := max(1, math.Floor(perSecond))
	return &limit{
		window: time.Duration(n / perSecond * float64(time.Second)),
		times:  make([]time.Time, int(n)),
	}
}

// allow counts the call if it is allowed. It goes by real time, as the
// callers' own limiters do, not by the sandbox's clock.
func (l *limit) allow() bool {
	if l == nil {
		return true
	}
	now := time.Now()
	if first := l.times[l.oldest]; !first.IsZero() && now.Sub(first) < l.window {
		return false
	}
	l.times[l.oldest] = now
	l.oldest = (l.oldest + 1) % len(l.times)
	return true
}
