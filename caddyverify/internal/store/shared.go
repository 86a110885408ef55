package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

const (
	// Budget is how long a call to a store may take.
	Budget = 20 * time.Millisecond
	// Flights is how many calls may be under way. A store that hangs holds no more.
	Flights = 16
	// trip is how many failures in a row open the circuit, for openFor.
	trip    = 5
	openFor = time.Second
	// pulse is the time between two beats; pulses without an answer for unheard mean that
	// changes elsewhere may go unnoticed.
	pulse   = 175 * time.Millisecond
	unheard = 800 * time.Millisecond
)

// Shared is a store as gateways use it. It hides names and seals values, and answers within
// Budget whatever the store does: with ErrAway, if need be.
type Shared struct {
	store   Store
	keys    *Keys
	flights chan struct{}
	unwatch func()
	circuit *gobreaker.TwoStepCircuitBreaker[any]

	watchers watchers
	waiting  waiting
	beating  beating

	spent                atomic.Int64 // calls, of which no beat has told
	trips, errors, aways atomic.Uint64
	away                 atomic.Bool
	mu                   sync.Mutex
	heard                time.Time     // the last answer
	since                time.Time     // away; zero while it is not
	awayFor              time.Duration // until since
	last                 error
}

// Stats are what Shared has counted, and how it is.
type Stats struct {
	// Calls is how many were sent to the store, beats among them; Failed how many of them
	// brought no answer in time; Alone how many were not sent, since the circuit was open or
	// too many were under way.
	Calls, Failed, Alone uint64
	// Away is since when the store has not answered; zero if it does.
	Away time.Time
	// AwayFor is how long it has been away, all in all.
	AwayFor time.Duration
	// Why is the last error; nil if the store answers.
	Why error
	// Gateways is how many were seen last, also while the store is away; 0 before the first beat.
	Gateways int
	// Used is Seen.Used of the last beat.
	Used int
	// Watching is Shared.Watching.
	Watching bool
	// Forgot is how often the store turned out to have forgotten what it knew.
	Forgot uint64
}

// NewShared wraps the store of an account, which NewKeys names. Run it, so that it beats.
func NewShared(s Store, k *Keys) *Shared {
	shared := &Shared{store: s, keys: k, flights: make(chan struct{}, Flights)}
	shared.beating.epoch = time.Now()
	shared.circuit = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Timeout:     openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= trip },
		IsExcluded:  innocent,
	})
	shared.waiting.init()
	shared.unwatch = s.Watch(shared.changed)
	return shared
}

var (
	// errLeft is for a caller that did not wait: the store has done nothing wrong.
	errLeft = errors.New("the caller has left")
	// errSpent is for a call whose client has waited for the store long enough. It might have
	// answered in time.
	errSpent = errors.New("the call's time for the store is over")
	errLate  = fmt.Errorf("no answer within %v", Budget)
	// errBusy is for a call that had to wait for others, while the store answers.
	errBusy = fmt.Errorf("%d calls are under way", Flights)
)

// innocent tells an error that says nothing against the store.
func innocent(err error) bool {
	return errors.Is(err, errLeft) || errors.Is(err, errSpent) || errors.Is(err, errBusy)
}

// away is an ErrAway with its reason.
type away struct{ why error }

func (a away) Error() string   { return ErrAway.Error() + ": " + a.why.Error() }
func (a away) Unwrap() []error { return []error{ErrAway, a.why} }

// call runs f, and leaves it behind when it does not come back in time.
func call[T any](ctx context.Context, s *Shared, f func(context.Context) (T, error)) (T, error) {
	var none T
	left, end := budget(ctx)
	defer end()
	if left <= 0 {
		s.aways.Add(1)
		return none, away{errSpent}
	}
	done, err := s.circuit.Allow()
	if err != nil {
		s.aways.Add(1)
		return none, away{err}
	}
	late := errLate
	if left < Budget {
		late = errSpent
	}
	ctx, cancel := context.WithTimeoutCause(ctx, left, late)
	defer cancel()
	crowded := false
	select {
	case s.flights <- struct{}{}:
	default:
		crowded = true
		select {
		case s.flights <- struct{}{}:
		case <-ctx.Done():
			s.aways.Add(1)
			err := s.cause(ctx, errLate, crowded)
			done(err)
			return none, s.failed(err)
		}
	}
	s.trips.Add(1)
	type result struct {
		v   T
		err error
	}
	back := make(chan result, 1)
	go func() {
		defer func() { <-s.flights }()
		v, err := f(ctx)
		back <- result{v, err}
	}()
	select {
	case r := <-back:
		if r.err == nil {
			done(nil)
			s.answered()
			return r.v, nil
		}
		err = r.err
		if ctx.Err() != nil {
			err = s.cause(ctx, err, crowded)
		}
	case <-ctx.Done():
		err = s.cause(ctx, errLate, crowded)
	}
	s.errors.Add(1)
	done(err)
	return none, s.failed(err)
}

// cause tells who took too long: the store, the caller, or the calls that this one had to wait
// for. Those are no excuse for a store that has not answered any of late.
func (s *Shared) cause(ctx context.Context, late error, crowded bool) error {
	switch why := context.Cause(ctx); {
	case errors.Is(why, errSpent):
		return errSpent
	case !errors.Is(why, errLate):
		return errLeft
	}
	if crowded {
		s.mu.Lock()
		defer s.mu.Unlock()
		if time.Since(s.heard) <= Budget {
			return errBusy
		}
	}
	return late
}

func (s *Shared) failed(err error) error {
	if !innocent(err) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.since.IsZero() {
			s.since = time.Now()
			s.away.Store(true)
		}
		s.last = err
	}
	return away{err}
}

func (s *Shared) answered() {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.since.IsZero() {
		s.awayFor += now.Sub(s.since)
	}
	s.since, s.last, s.heard = time.Time{}, nil, now
	s.away.Store(false)
}

// Away tells whether the store has not answered when it was asked last. It takes no lock.
func (s *Shared) Away() bool { return s.away.Load() }

// Stats returns what was counted until now.
func (s *Shared) Stats() Stats {
	st := Stats{Calls: s.trips.Load(), Failed: s.errors.Load(), Alone: s.aways.Load(), Watching: s.Watching()}
	st.Gateways, st.Used, st.Forgot = s.beating.seen()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Away, st.AwayFor, st.Why = s.since, s.awayFor, s.last
	if !s.since.IsZero() {
		st.AwayFor += time.Since(s.since)
	}
	return st
}
