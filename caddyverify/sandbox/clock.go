package sandbox

import (
	"context"
	"math"
	"time"
)

// maxSpeed is a day in a second.
const maxSpeed = 86_400

// clock tells the sandbox's time: real time from the moment it was made, run
// faster or slower.
type clock struct {
	speed       float64
	real, there time.Time // the same moment, when the speed was last set
}

func newClock(speed float64) clock {
	now := time.Now()
	return clock{speed: speed, real: now, there: now.UTC().Round(0)}
}

// run sets the speed from now on.
func (c *clock) run(speed float64) {
	if speed != c.speed {
		*c = clock{speed: speed, real: time.Now(), there: c.now()}
	}
}

// now goes by seconds and not by time.Duration, which a fast clock would
// overflow within days.
func (c *clock) now() time.Time {
	whole, part := math.Modf(time.Since(c.real).Seconds() * c.speed)
	return time.Unix(c.there.Unix()+int64(whole), int64(c.there.Nanosecond())+int64(part*1e9)).UTC()
}

// realTime is when a moment was, or will be, in real time at the present speed.
func (c *clock) realTime(there time.Time) time.Time {
	return c.real.Add(time.Duration(float64(there.Sub(c.there)) / c.speed))
}

// until is the real time until a moment, at the present speed; a little more than
// nothing, so that who waits for it gets on.
func (c *clock) until(there time.Time) time.Duration {
	return max(time.Microsecond, c.span(there.Sub(c.now())))
}

// span is how long something lasts in real time.
func (c *clock) span(there time.Duration) time.Duration {
	return time.Duration(min(float64(there)/c.speed, float64(time.Hour)*24*365))
}

// pause waits in real time. It is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
