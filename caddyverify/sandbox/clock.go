package sandbox

import (
	"context"
	"math"
	"time"
)

// maxSpeed is a day in a second.
const maxSpeed = 86_400

// clock tells the sandbox's time: real time, or that time run faster or slower
// from the moment it was made.
type clock struct {
	start time.Time
	speed float64
}

func newClock(speed float64) clock {
	return clock{start: time.Now(), speed: speed}
}

// now goes by seconds and not by time.Duration, which a fast clock would
// overflow within days.
func (c clock) now() time.Time {
	if c.speed == 1 {
		return time.Now().UTC()
	}
	whole, part := math.Modf(time.Since(c.start).Seconds() * c.speed)
	return time.Unix(c.start.Unix()+int64(whole), int64(c.start.Nanosecond())+int64(part*1e9)).UTC()
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
