package limit

import (
	"fmt"
	"maps"
	"slices"
)

// DefaultRate is the account's limit by default, in calls a second: a little under the
// provider's own.
const DefaultRate = 28

// Settings say how many calls an account may make, and how its callers share them.
// The zero value of a field is its default, so that the zero Settings are the
// documented ones.
type Settings struct {
	// Rate is how many calls may be made within any second. The provider's limit
	// is 30; two less leave room for calls that overtake each other on the way.
	// Below 0 there is no limit. Default: 28.
	Rate int
	// SearchRate is how many of them may be searches, for which the provider has a limit of
	// its own; with a store, those of all gateways together. 0 is no limit but the account's.
	SearchRate int
	// Callers are the shares of callers by their names. All others have a weight of 1
	// and no limit of their own. The map is not to be changed any more.
	Callers map[string]Share
}

// Share is what a caller may have of an account's calls.
type Share struct {
	// Weight is how many calls the caller gets for each of another whose weight is 1,
	// when both want more than there are. Default: 1.
	Weight int
	// Rate is how many calls the caller may make within any second, however few the
	// others make. 0 is no limit of its own.
	Rate int
}

// withDefaults returns s with its zero fields set.
func (s Settings) withDefaults() Settings {
	if s.Rate == 0 {
		s.Rate = DefaultRate
	}
	callers := make(map[string]Share, len(s.Callers))
	for name, share := range s.Callers {
		if share.Weight == 0 {
			share.Weight = 1
		}
		callers[name] = share
	}
	s.Callers = callers
	return s
}

// equal compares settings that have their defaults.
func (s Settings) equal(other Settings) bool {
	return s.Rate == other.Rate && s.SearchRate == other.SearchRate && maps.Equal(s.Callers, other.Callers)
}

// off tells that there is no limit at all.
func (s Settings) off() bool {
	for _, share := range s.Callers {
		if share.Rate > 0 {
			return false
		}
	}
	return s.Rate < 0 && s.SearchRate == 0
}

const (
	// maxRate bounds the memory and the time that a Limiter takes.
	maxRate = 10_000
	// maxWeight is as much as unit can be divided by.
	maxWeight = 1000
)

// Validate tells what is wrong with the settings, by the name of the setting.
func (s Settings) Validate() error {
	s = s.withDefaults()
	switch {
	case s.Rate > maxRate:
		return fmt.Errorf("limit must be at most %d a second, not %d", maxRate, s.Rate)
	case s.SearchRate < 0:
		return fmt.Errorf("limit of searches must be at least 1 a second, not %d", s.SearchRate)
	case s.Rate > 0 && s.SearchRate > s.Rate:
		return fmt.Errorf("limit of searches must be at most that of all calls, %d a second, not %d", s.Rate, s.SearchRate)
	case s.SearchRate > maxRate:
		return fmt.Errorf("limit of searches must be at most %d a second, not %d", maxRate, s.SearchRate)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Callers)) {
		share := s.Callers[name]
		switch {
		case share.Weight < 1 || share.Weight > maxWeight:
			return fmt.Errorf("caller %q: weight must be from 1 to %d, not %d", name, maxWeight, share.Weight)
		case share.Rate < 0 || share.Rate > maxRate:
			return fmt.Errorf("caller %q: limit must be from 1 to %d a second, not %d", name, maxRate, share.Rate)
		}
	}
	return nil
}
