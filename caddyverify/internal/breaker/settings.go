package breaker

import (
	"fmt"
	"time"
)

// Settings say when a circuit opens and for how long. The zero value of a field
// is its default, so that the zero Settings are the documented ones.
type Settings struct {
	// Off lets all calls through and counts none. What is known of the upstream is
	// kept, and is what counts when it is on again.
	Off bool
	// Window is how long an outcome counts. It must be at least three times
	// Timeout: an outcome counts from the start of its call, so that in a shorter
	// window timeouts are forgotten about as fast as they come. Default: 30s.
	Window time.Duration
	// OpenFor is how long the circuit stays open before the first probe. The time
	// doubles with each failed probe, up to 40 seconds. Default: 5s.
	OpenFor time.Duration
	// Timeout is the longest that a call to the upstream may take; a probe gets as
	// long. Default: 10s.
	Timeout time.Duration
}

const (
	// minOutcomes is how many outcomes, failures and successes together, the window
	// must hold before their share says anything.
	minOutcomes = 20
	// failureShare of these opens the circuit.
	failureShare = 0.5
	// dialFailures is how many failed connections in a row open the circuit.
	dialFailures = 5
	// maxOpenFor is the longest open time that may be asked for.
	maxOpenFor = time.Minute
	// maxBackoff is where the doubling of the open time ends: with the default timeout
	// of a probe, the last that fails and the one that does not are within a minute.
	maxBackoff = 40 * time.Second
)

// buckets is how many parts the window has. Outcomes leave it part by part, one
// second each by default.
const buckets = 30

// withDefaults returns s with its zero fields set.
func (s Settings) withDefaults() Settings {
	setDefault(&s.Window, 30*time.Second)
	setDefault(&s.OpenFor, 5*time.Second)
	setDefault(&s.Timeout, 10*time.Second)
	return s
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate tells what is wrong with the settings, by the name of the setting.
func (s Settings) Validate() error {
	s = s.withDefaults()
	switch {
	case s.Timeout < 0:
		return fmt.Errorf("timeout must be above 0, not %v", s.Timeout)
	case s.Window < 3*s.Timeout:
		return fmt.Errorf("window must be at least three times the timeout of %v, which is %v, not %v: timeouts would be forgotten before they can open the circuit",
			s.Timeout, 3*s.Timeout, s.Window)
	case s.Window < buckets*time.Millisecond:
		return fmt.Errorf("window must be at least %v, not %v", buckets*time.Millisecond, s.Window)
	case s.OpenFor < 0:
		return fmt.Errorf("open_for must be above 0, not %v", s.OpenFor)
	case s.OpenFor > maxOpenFor:
		return fmt.Errorf("open_for must be at most %v, not %v", maxOpenFor, s.OpenFor)
	}
	return nil
}
