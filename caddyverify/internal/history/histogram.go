package history

import (
	"math"
	"time"
)

// A Histogram's buckets begin at a millisecond, and each is 2^(1/4) times as wide as the
// last: up to 17 minutes, a quantile is off by 9 % at most.
const (
	buckets    = 80
	perDoubled = 4
)

// Histogram counts durations.
type Histogram [buckets]uint32

// Add counts one.
func (h *Histogram) Add(d time.Duration) { h[bucket(d)]++ }

func bucket(d time.Duration) int {
	if d <= time.Millisecond {
		return 0
	}
	return min(int(math.Ceil(math.Log2(float64(d)/float64(time.Millisecond))*perDoubled)), buckets-1)
}

// end is the upper end of a bucket.
func end(bucket int) float64 {
	return float64(time.Millisecond) * math.Exp2(float64(bucket)/perDoubled)
}

func (h *Histogram) merge(other *Histogram) {
	for i, n := range other {
		h[i] += n
	}
}

// Quantile returns the q-quantile, of which a share of q is below; false if nothing was
// counted.
func (h *Histogram) Quantile(q float64) (time.Duration, bool) {
	total := 0.0
	for _, n := range h {
		total += float64(n)
	}
	if total == 0 {
		return 0, false
	}
	rank := q * total
	for i, n := range h {
		if rank -= float64(n); n > 0 && rank <= 0 {
			below := 0.0
			if i > 0 {
				below = end(i - 1)
			}
			return time.Duration(end(i) + rank/float64(n)*(end(i)-below)), true
		}
	}
	return time.Duration(end(buckets - 1)), true
}
