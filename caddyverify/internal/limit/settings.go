package limit

import (
	"fmt"
	"time"
)

// Settings say how many calls an account may make. The zero value of a field is
// its default, so that the zero Settings are the documented ones.
type Settings struct {
	// Rate is how many calls may be made within any second. The provider's limit
	// is 30; two less leave room for calls that overtake each other on the way.
	// Below 0 there is no limit. Default: 28.
	Rate int
	// CheckReserve is how many of them other operations leave to checks.
	// Below 0 there is no reserve. Default: 6, at most a quarter of Rate.
	CheckReserve int
	// MaxWait is how long a call waits for its turn before it is refused. Below 0
	// no call waits. Default: 250ms.
	MaxWait time.Duration
}

// withDefaults returns s with its zero fields set and its negative ones, Rate
// aside, set to none.
func (s Settings) withDefaults() Settings {
	if s.Rate == 0 {
		s.Rate = 28
	}
	if s.CheckReserve == 0 {
		s.CheckReserve = min(6, s.Rate/4)
	}
	if s.MaxWait == 0 {
		s.MaxWait = 250 * time.Millisecond
	}
	s.CheckReserve = max(s.CheckReserve, 0)
	s.MaxWait = max(s.MaxWait, 0)
	return s
}

// maxRate bounds the memory and the time that a Limiter takes.
const maxRate = 10_000

// Validate tells what is wrong with the settings, by the name of the setting.
func (s Settings) Validate() error {
	s = s.withDefaults()
	switch {
	case s.Rate < 0:
		return nil
	case s.Rate > maxRate:
		return fmt.Errorf("limit must be at most %d a second, not %d", maxRate, s.Rate)
	case s.CheckReserve >= s.Rate:
		return fmt.Errorf("check_reserve must be below the limit of %d a second, not %d: only checks could be made", s.Rate, s.CheckReserve)
	}
	return nil
}
