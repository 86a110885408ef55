package limit

import "fmt"

// Settings say how many calls an account may make. The zero value of a field is
// its default, so that the zero Settings are the documented ones.
type Settings struct {
	// Rate is how many calls may be made within any second. The provider's limit
	// is 30; two less leave room for calls that overtake each other on the way.
	// Below 0 there is no limit. Default: 28.
	Rate int
}

// withDefaults returns s with its zero fields set.
func (s Settings) withDefaults() Settings {
	if s.Rate == 0 {
		s.Rate = 28
	}
	return s
}

// maxRate bounds the memory and the time that a Limiter takes.
const maxRate = 10_000

// Validate tells what is wrong with the settings, by the name of the setting.
func (s Settings) Validate() error {
	s = s.withDefaults()
	if s.Rate > maxRate {
		return fmt.Errorf("limit must be at most %d a second, not %d", maxRate, s.Rate)
	}
	return nil
}
