package search

import "time"

// Settings says how long answers are kept and how many. The zero value is the
// documented default; two Caches with equal Settings behave the same.
type Settings struct {
	// InProgress is how long IN PROGRESS is answered from memory. A negative
	// value keeps none. Default: 2s.
	InProgress time.Duration
	// Scheduled has Cache.Unchanged tell it, for the verifications of which that knows. It is for who
	// knows that nobody else checks them.
	Scheduled bool
	// Settling is how long SUCCESS, FAILED, EXPIRED or CANCELLED is answered from
	// memory at first: the price may still change. When the provider says the same
	// again after this time, Final applies. A negative value skips this stage.
	// Default: 1m.
	Settling time.Duration
	// Final is how long a final state is answered from memory once it has settled.
	// A negative value leaves it at Settling. Default: 24h.
	Final time.Duration
	// NotFound is how long 101 is answered from memory. A negative value keeps
	// none. Default: 1s.
	NotFound time.Duration
	// StaleIfError is how long past its lifetime a state is still answered when the
	// provider fails, times out or says 1 or 5. A negative value answers none.
	// Default: 5m.
	StaleIfError time.Duration
	// MaxEntries is how many states are kept: one per caller, verification and
	// format. Default: 100,000.
	MaxEntries int
	// MaxBytes is how much memory they may take, with all that is needed to find
	// them again. Default: 64 MiB.
	MaxBytes int64
	// Timeout is how long one upstream call may take, whoever waits for it. A search
	// waits for two in turn only where the first was another search's list that was
	// refused, or left out what this one asks for.
	// Default: 10s.
	Timeout time.Duration
}

func (s Settings) withDefaults() Settings {
	fill(&s.InProgress, 2*time.Second)
	fill(&s.Settling, time.Minute)
	fill(&s.Final, 24*time.Hour)
	fill(&s.NotFound, time.Second)
	fill(&s.StaleIfError, 5*time.Minute)
	if s.MaxEntries <= 0 {
		s.MaxEntries = 100_000
	}
	if s.MaxBytes <= 0 {
		s.MaxBytes = 64 << 20
	}
	if s.Timeout <= 0 {
		s.Timeout = 10 * time.Second
	}
	return s
}

func fill(d *time.Duration, byDefault time.Duration) {
	if *d == 0 {
		*d = byDefault
	}
}
