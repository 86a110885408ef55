// Package breaker is the circuit breaker: it keeps calls from an upstream that does
// not answer, and finds out when it does again without a customer's call as the
// canary. What counts is decided in one table (classify.go); gobreaker counts it and
// trips; the probes and the growing open time are added here. What the account is
// refused for is left to package suspend.
package breaker

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/event"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Change is a change of a circuit's state.
type Change struct {
	Class    wire.Class
	From, To wire.CircuitState
	// Why names the outcome that made the change: a wire.Cause or a Verify status,
	// such as "connect_failed" or "status 5". Empty when the open time is over.
	Why string
	// Fault is what Why is the cause of, if it is one.
	Fault *wire.Fault
	// Failures of Outcomes were in the window, for a circuit that was closed.
	Failures, Outcomes int
	// OpenFor is how long a circuit that opens stays so before it is probed.
	OpenFor time.Duration
	// Elsewhere tells that it was open at another gateway before, see Check.
	Elsewhere bool
}

// Breaker is the circuit of one class of calls to one account at one upstream.
// Its methods may be used by any number of goroutines, and from its callbacks.
type Breaker struct {
	class    wire.Class
	settings Settings
	changes  event.Notifier[Change]

	mu sync.Mutex
	// circuit counts while the state is closed, and trips. Its own open and
	// half-open states are not used: its open time is constant, and its half-open state
	// takes any caller's call for a probe. Each closing begins a new one.
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	// tripped tells that circuit has tripped, and counts what it had counted.
	tripped bool
	counts  gobreaker.Counts
	// dials is the row of failed connections.
	dials int

	// until is the end of the open time; zero means closed.
	until time.Time
	// since is when it left the closed state or came back to it last, and why what
	// opened it; see Snapshot.
	since time.Time
	why   string
	// held tells that an operator keeps it open: nothing but an operator closes it.
	held bool
	// openFor is the present open time, which doubles.
	openFor time.Duration
	probing
}

// New returns a closed Breaker. The settings are expected to be valid.
func New(class wire.Class, s Settings) *Breaker {
	b := &Breaker{class: class, settings: s.withDefaults()}
	b.circuit = b.newCircuit()
	return b
}

// OnChange has changes told to f from now on, one after the other and outside
// all locks. Of several, each is told.
func (b *Breaker) OnChange(f func(Change)) (stop func()) { return b.changes.Subscribe(f) }

var (
	errFailure  = errors.New("failure")
	errExcluded = errors.New("excluded")
)

// newCircuit makes the part that counts. What it calls back runs under its lock
// and under b.mu: these functions only compute.
func (b *Breaker) newCircuit() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     b.settings.Window,
		BucketPeriod: b.settings.Window / buckets,
		IsExcluded:   func(err error) bool { return err == errExcluded },
		// It is asked after each failure, never after a success.
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			outcomes := int(counts.TotalFailures + counts.TotalSuccesses)
			b.counts = counts
			b.tripped = b.dials >= dialFailures ||
				outcomes >= minOutcomes &&
					float64(counts.TotalFailures) >= failureShare*float64(outcomes)
			return b.tripped
		},
	})
}

// Call is a call that a Breaker let through. The zero Call is of one that is off.
type Call struct {
	breaker *Breaker
	circuit *gobreaker.TwoStepCircuitBreaker[struct{}]
	report  func(error) // nil once called
}

// Allow asks whether a call may be made now. If so, its outcome is told to the
// Call; each try of a call that is repeated asks for itself. If not, retryAfter
// is when asking again makes sense, always above 0. It never waits. One that is off
// lets all calls through.
func (b *Breaker) Allow() (call *Call, retryAfter time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.settings.Off {
		return new(Call), 0, true
	}
	if !b.until.IsZero() {
		return nil, b.retryAfter(time.Now()), false
	}
	report, err := b.circuit.Allow()
	if err != nil { // not while it is closed
		return nil, b.settings.OpenFor, false
	}
	return &Call{breaker: b, circuit: b.circuit, report: report}, 0, true
}

// Done tells the outcome. Only the first one told counts, and none once the
// circuit has opened: it belongs to the time before. A Call whose outcome is
// never told counts as nothing.
func (c *Call) Done(answer wire.Answer) {
	b, classified := c.breaker, Classify(answer)
	if b == nil {
		return
	}
	b.mu.Lock()
	report := c.report
	c.report = nil
	if report == nil || c.circuit != b.circuit || !b.until.IsZero() || b.settings.Off {
		b.mu.Unlock()
		return
	}
	switch {
	case classified.DialFailure:
		b.dials++
	case classified.Answered:
		b.dials = 0
	}
	switch classified.Verdict {
	case Success:
		report(nil)
	case Failure:
		report(errFailure)
	default:
		report(errExcluded)
	}
	if !b.tripped {
		b.mu.Unlock()
		return
	}
	b.open(wire.CircuitClosed, b.settings.OpenFor, answer)
	b.mu.Unlock()
	b.changes.Deliver()
}

// open begins an open time. The caller holds b.mu and delivers the change.
func (b *Breaker) open(from wire.CircuitState, openFor time.Duration, answer wire.Answer) {
	now := time.Now()
	elsewhere := from == wire.CircuitClosed && !b.tripped
	if from == wire.CircuitClosed {
		b.since = now
		b.prober.Cancel() // of Check
	}
	b.why = why(answer)
	b.openFor = openFor
	b.until = now.Add(openFor)
	b.again, b.announced = 0, false
	change := Change{Class: b.class, From: from, To: wire.CircuitOpen, OpenFor: openFor, Elsewhere: elsewhere}
	change.Why, change.Fault = b.why, answer.Fault
	if b.tripped && from == wire.CircuitClosed {
		change.Failures = int(b.counts.TotalFailures)
		change.Outcomes = change.Failures + int(b.counts.TotalSuccesses)
	}
	b.changes.Push(change)
	b.prober.Schedule(b.until, b.probe)
}

// close begins to count afresh. The caller holds b.mu and delivers the change.
func (b *Breaker) close(from wire.CircuitState, why string, fault *wire.Fault) {
	b.until, b.openFor, b.held = time.Time{}, 0, false
	b.since, b.why = time.Now(), ""
	b.prober.Schedule(time.Time{}, b.probe)
	b.circuit, b.tripped, b.dials = b.newCircuit(), false, 0
	b.changes.Push(Change{Class: b.class, From: from, To: wire.CircuitClosed, Why: why, Fault: fault})
}

// State returns the state at this moment, whether or not anyone called.
func (b *Breaker) State() wire.CircuitState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state()
}

// state is State. The caller holds b.mu.
func (b *Breaker) state() wire.CircuitState {
	switch {
	case b.held:
		return wire.CircuitOpen
	case b.until.IsZero():
		return wire.CircuitClosed
	case time.Now().Before(b.until):
		return wire.CircuitOpen
	}
	return wire.CircuitHalfOpen
}

// retryAfter tells when the next probe will have been made. The caller holds b.mu.
func (b *Breaker) retryAfter(now time.Time) time.Duration {
	if b.held {
		return heldAgain
	}
	if wait := b.prober.Due().Sub(now); !b.prober.Running() && wait > 0 {
		return wait
	}
	return time.Second
}
