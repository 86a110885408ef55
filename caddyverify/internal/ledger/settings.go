package ledger

import "time"

// Settings say how long verifications are kept and how many. The zero value of a
// field is its default; two Ledgers with equal Settings behave the same.
type Settings struct {
	// MaxEntries is how many verifications are kept, about 260 bytes each. Above
	// it those that have ended go first, then those unsettled, then those nearest
	// to their end. Default: 100,000.
	MaxEntries int
	// Grace is how long after the end of its documented lifetime a verification
	// counts as unsettled. It covers the time in which the provider works off its
	// events, and the minute after the end in which a search may still answer 101.
	// Default: 90s.
	Grace time.Duration
	// GiveUp is how long a verification stays unsettled before it counts as
	// finished with outcome unknown. Default: 1h.
	GiveUp time.Duration
	// Keep is how long a finished verification is remembered, so that what comes
	// again is recognised and a later price is added. Default: 1h.
	Keep time.Duration
}

func (s Settings) withDefaults() Settings {
	if s.MaxEntries <= 0 { // nothing could be kept
		s.MaxEntries = 100_000
	}
	setDefault(&s.Grace, 90*time.Second)
	setDefault(&s.GiveUp, time.Hour)
	setDefault(&s.Keep, time.Hour)
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
