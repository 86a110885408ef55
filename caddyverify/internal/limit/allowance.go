package limit

import "time"

// allowance is how many calls may be made within a second: as many as the settings say, or
// as the provider's throttling has left of them. It is guarded by Limiter.mu.
type allowance struct {
	slots
	// full is what the settings say; below 0 for no limit.
	full int
	// ofSearches tells that it is that of searches alone.
	ofSearches bool
	// cut is when the rate was lowered last, and grown when it was raised last.
	cut, grown time.Time
	// lowest is the lowest rate since it was the full one; 0 while it is.
	lowest int
	// whole is the time until the rate is the full one again.
	whole *time.Timer
}

func newAllowance(full int, now time.Time) allowance {
	a := allowance{full: full}
	if full > 0 {
		a.slots = newSlots(full, now)
	}
	return a
}

// lowered tells that it is the provider's throttling that keeps calls back.
func (a *allowance) lowered() bool { return a.n < a.full }

// rate is what the rate is once recover has been called.
func (a *allowance) rate(now time.Time) int {
	if !a.lowered() {
		return a.n
	}
	return min(a.n+int(now.Sub(a.grown)/growEvery), a.full)
}

// rateWith is rate once resize has been called.
func (a *allowance) rateWith(full int, now time.Time) int {
	return min(a.rate(now)+max(full-a.full, 0), full)
}

// recover adds what the provider's throttling took, for the time that has passed. It tells
// whether there was anything.
func (a *allowance) recover(now time.Time) (any bool) {
	for a.lowered() && now.Sub(a.grown) >= growEvery {
		a.grown = a.grown.Add(growEvery)
		a.add(a.grown)
		any = true
	}
	return any
}

// resize has it be another one.
func (a *allowance) resize(full int, now time.Time) {
	was := a.full
	a.full = full
	switch {
	case full < 0:
		a.slots = slots{}
	case was < 0:
		a.slots = newSlots(full, now.Add(time.Second)) // what was made before is not known
	default:
		a.slots.resize(min(a.n+max(full-was, 0), full), full, now)
	}
}

// wholeAt is when the rate will be the full one.
func (a *allowance) wholeAt() time.Time {
	return a.grown.Add(time.Duration(a.full-a.n) * growEvery)
}
