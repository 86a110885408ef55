package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

const (
	rightCode = "1234"
	wrongCode = "4321"

	// pinExpiry is what the apps ask for with workflow 6, a single SMS: how long a
	// verification lives of which nothing is heard.
	pinExpiry = 2 * time.Minute

	// maxNumbers is how many numbers there are in number.
	maxNumbers = 80_000
)

// life is what the user of one verification does.
type life struct {
	begin time.Duration // when it starts, since the start of the replay
	steps []step
	fate  string // how it ends, as Verify Search writes it
}

// step is a code entered or, without a code, a cancellation.
type step struct {
	after time.Duration // since the verification began
	code  string
}

// plan draws the lives of n verifications that begin within a time, in that
// order. The same seed draws the same.
func plan(seed uint64, n int, over time.Duration) []life {
	r := rand.New(rand.NewPCG(seed, 0))
	lives := make([]life, n)
	for i := range lives {
		lives[i] = draw(r)
		lives[i].begin = time.Duration(r.Float64() * float64(over))
	}
	slices.SortFunc(lives, func(a, b life) int { return int(a.begin - b.begin) })
	return lives
}

// draw draws what a user does: 70 % enter the right code, 12 % after one or two
// wrong ones, 4 % enter three wrong ones, 5 % cancel, 9 % do nothing.
func draw(r *rand.Rand) life {
	entered := typing(r)
	switch fate := r.Float64(); {
	case fate < 0.70:
		return life{fate: "SUCCESS", steps: []step{{entered, rightCode}}}
	case fate < 0.82:
		l := life{fate: "SUCCESS"}
		for range 1 + r.IntN(2) {
			l.steps = append(l.steps, step{entered, wrongCode})
			entered += between(r, 4*time.Second, 10*time.Second)
		}
		l.steps = append(l.steps, step{entered, rightCode})
		return l
	case fate < 0.86:
		l := life{fate: "FAILED"}
		for range 3 {
			l.steps = append(l.steps, step{entered, wrongCode})
			entered += between(r, 4*time.Second, 10*time.Second)
		}
		return l
	case fate < 0.91:
		// Verify refuses to cancel in the first 30 seconds.
		return life{fate: "CANCELLED", steps: []step{{after: between(r, 31*time.Second, 60*time.Second)}}}
	default:
		return life{fate: "EXPIRED"}
	}
}

// typing draws how long it takes to receive a code and enter it: half of the
// users need less than 20 seconds, one in ten more than 43.
func typing(r *rand.Rand) time.Duration {
	seconds := 20 * math.Exp(0.6*r.NormFloat64())
	return time.Duration(min(max(seconds, 4), 75) * float64(time.Second))
}

func between(r *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(r.Int64N(int64(to-from)))
}

// number is the i-th of the North American numbers that are kept for fiction.
func number(i int) string {
	return fmt.Sprintf("1%d55501%02d", 200+i/100, i%100)
}

// fates tells how many lives end in which way.
func fates(lives []life) string {
	count := map[string]int{}
	for _, l := range lives {
		count[l.fate]++
	}
	var parts []string
	for _, fate := range []string{"SUCCESS", "FAILED", "CANCELLED", "EXPIRED"} {
		parts = append(parts, fmt.Sprintf("%d %s", count[fate], fate))
	}
	return strings.Join(parts, ", ")
}
