package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/suspend"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Event is something that has happened to an account.
type Event struct {
	// Account is its label.
	Account string
	Time    time.Time
	// Detail is one of the types below.
	Detail Detail
}

// Detail is what has happened.
type Detail interface{ detail() }

type (
	// CircuitChanged tells that a circuit breaker has opened, closed, or is being probed.
	CircuitChanged breaker.Change
	// AccountSuspended tells that the upstream refuses the account, or takes it again.
	AccountSuspended suspend.Change
	// LimitChanged tells that the provider has throttled the account or its searches, or that
	// all these calls may be made again.
	LimitChanged limit.Change
	// MethodChanged tells that the upstream knows an operation by another HTTP method.
	MethodChanged struct {
		Operation wire.Operation
		Method    string
		Code      int // that the upstream had for the method of before
	}
	// SecretSwitched tells that the account's calls are made with its other secret.
	SecretSwitched struct {
		From, To wire.SecretName
		Why      wire.SwitchReason
	}
	// SecretReplaced tells that a new secret has come in the place of one in use.
	SecretReplaced struct{}
	// CallRefused tells that a call was not made.
	CallRefused struct {
		Operation wire.Operation
		Cause     wire.Cause
		Caller    string
	}
	// CallIsolated tells that a caller's call was about another's verification, or, where
	// Unknown, about one that may have been another's while the store could not tell.
	CallIsolated struct {
		Operation wire.Operation
		Caller    string
		Unknown   bool
	}
	// StoreChanged tells that the store is away, so that the gateway goes on alone, or that it
	// answers again.
	StoreChanged struct {
		Away bool
		Why  error
		For  time.Duration // that it was away
	}
	// GuardFound tells that the guard has refused a verification's start, or would have.
	GuardFound struct {
		Caller  string
		Finding guard.Finding
	}
	// GuardChanged tells of a block, of a budget, or that few verifications succeed.
	GuardChanged guard.Change
	// RecordIncomplete tells that lines of the record of starts are missing, as they cannot be
	// written or, without a Why, too many waited.
	RecordIncomplete struct{ Why error }
	// FailedOver tells that a request is made with another account.
	FailedOver struct{ To string }
	// ConfigurationInForce tells that a configuration with the account has been loaded.
	ConfigurationInForce struct{}
	// CachePurged tells that an operator had the cache forget what it kept of so many
	// verifications.
	CachePurged struct{ Verifications int }
	// InvariantBroken tells of a fault of the gateway itself.
	InvariantBroken struct{ Invariant wire.Invariant }
	// CallRetried tells that a call is made a second time.
	CallRetried struct{ Operation wire.Operation }
	// VerificationStarted tells that a verification has begun.
	VerificationStarted ledger.Start
	// VerificationFinished tells that a verification has ended.
	VerificationFinished ledger.Finish
	// UntrackedFinished tells that a verification has ended whose start was not seen.
	UntrackedFinished struct{ Outcome wire.Outcome }
	// CostLearned tells of money that a verification has cost.
	CostLearned ledger.Cost
)

func (CircuitChanged) detail()       {}
func (AccountSuspended) detail()     {}
func (LimitChanged) detail()         {}
func (MethodChanged) detail()        {}
func (SecretSwitched) detail()       {}
func (SecretReplaced) detail()       {}
func (CallRefused) detail()          {}
func (CallIsolated) detail()         {}
func (ConfigurationInForce) detail() {}
func (CachePurged) detail()          {}
func (FailedOver) detail()           {}
func (GuardFound) detail()           {}
func (GuardChanged) detail()         {}
func (RecordIncomplete) detail()     {}
func (StoreChanged) detail()         {}
func (InvariantBroken) detail()      {}
func (CallRetried) detail()          {}
func (VerificationStarted) detail()  {}
func (VerificationFinished) detail() {}
func (UntrackedFinished) detail()    {}
func (CostLearned) detail()          {}

// Reason is why lines are missing.
func (r RecordIncomplete) Reason() string {
	if r.Why == nil {
		return "too many lines waited to be written"
	}
	return r.Why.Error()
}

// Subscribe has f told of the account's events, one at a time and in their order, until
// it is stopped. f may do whatever it likes, but others wait for it.
func (a *Account) Subscribe(f func(Event)) (stop func()) { return a.events.Subscribe(f) }

func (a *Account) publish(details ...Detail) {
	for _, d := range details {
		a.events.Push(Event{Account: a.label, Time: time.Now(), Detail: d})
	}
	a.events.Deliver()
}

// publishLater is publish, within a second and not by who calls it.
func (a *Account) publishLater(d Detail) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = append(a.pending, d)
}

func (a *Account) publishPending() {
	a.mu.Lock()
	pending := a.pending
	a.pending = nil
	a.mu.Unlock()
	a.publish(pending...)
}

// publishEvents tells of what the ledger has learnt.
func (a *Account) publishEvents(ctx context.Context, events ledger.Events) {
	var details []Detail
	for _, start := range events.Started {
		details = append(details, VerificationStarted(start))
	}
	for _, finish := range events.Finished {
		details = append(details, VerificationFinished(finish))
	}
	for _, cost := range events.Costs {
		details = append(details, CostLearned(cost))
	}
	for _, outcome := range events.Untracked {
		details = append(details, UntrackedFinished{outcome})
	}
	a.tellGuardOf(&events)
	a.publish(details...)
	a.book(ctx, &events)
	for _, end := range events.Ends {
		if !slices.ContainsFunc(events.Bookings, func(b ledger.Booking) bool { return b.RequestID == end.RequestID }) {
			a.estimateLater(end.RequestID)
		}
	}
}

func (a *Account) retried(o wire.Operation) { a.publish(CallRetried{o}) }

func (a *Account) methodChanged(o wire.Operation, method string, code int) {
	a.publish(MethodChanged{o, method, code})
}

// count is the metrics' subscription.
func (a *Account) count(e Event) {
	switch d := e.Detail.(type) {
	case CircuitChanged:
		a.metrics.Transition(d.Class, d.From, d.To)
	case SecretSwitched:
		a.metrics.Switched(d.Why)
	case SecretReplaced:
		a.metrics.Switched(wire.SwitchFile)
	case CallRefused:
		a.metrics.Refused(d.Caller, d.Operation, d.Cause)
	case CallIsolated:
		a.metrics.Isolated(d.Caller, d.Operation)
	case FailedOver:
		a.metrics.FailedOver(d.To)
	case GuardFound:
		a.metrics.Guard(d.Finding.Rule.String(), d.Finding.Mode == guard.Enforce)
	case GuardChanged:
		a.metrics.GuardChange(d.Kind.String())
	case InvariantBroken:
		a.metrics.Broken(d.Invariant)
	case CallRetried:
		a.metrics.Retry(d.Operation)
	case VerificationStarted:
		a.metrics.Started(d.Caller, d.Country, d.Workflow)
	case VerificationFinished:
		a.metrics.Finished(d.Caller, d.Outcome, d.Country, d.Workflow, d.TimeToSuccess, d.Attempts)
	case UntrackedFinished:
		a.metrics.Untracked(d.Outcome)
	case CostLearned:
		a.metrics.Cost(d.Caller, d.Currency, d.Kind, d.Country, d.Amount)
	}
}

// log is the log's subscription: what an operator should know of an account.
func (a *Account) log(e Event) {
	level, message, attrs := e.describe()
	if message == "" {
		return
	}
	a.mu.Lock()
	by := a.loggers.Get()
	a.mu.Unlock()
	if by != nil {
		attrs = append(attrs, slog.String("upstream", a.host))
		(*by).ofAccount().LogAttrs(context.Background(), level, message, attrs...)
	}
}

// describe is the event's log line; "" for none.
func (e Event) describe() (level slog.Level, message string, attrs []slog.Attr) {
	level = slog.LevelWarn
	switch d := e.Detail.(type) {
	case CircuitChanged:
		message, attrs = "breaker changed", circuitAttrs(d)
	case AccountSuspended:
		message, attrs = "account trouble changed", []slog.Attr{slog.String("from", string(d.From)), slog.String("to", string(d.To))}
	case LimitChanged:
		message, attrs = "limit restored", []slog.Attr{slog.Int("from", d.From), slog.Int("to", d.To)}
		if d.Why != "" {
			message, attrs = "limit lowered", append(attrs, slog.String("why", d.Why))
		}
		if d.Searches {
			attrs = append(attrs, slog.String("operation", wire.Search.String()))
		}
	case SecretSwitched:
		message, attrs = "secret switched", []slog.Attr{
			slog.String("from", string(d.From)), slog.String("to", string(d.To)), slog.String("why", string(d.Why)),
		}
	case SecretReplaced:
		level, message = slog.LevelInfo, "secret replaced"
	case CachePurged:
		level, message, attrs = slog.LevelInfo, "cache purged", []slog.Attr{slog.Int("verifications", d.Verifications)}
	case GuardChanged:
		message, attrs = "guard "+d.Kind.String(), []slog.Attr{slog.String("rule", d.Finding.Rule.String()), slog.String("mode", d.Finding.Mode.String()), slog.String("why", guard.Change(d).Text())}
		if d.Caller != "" {
			attrs = append(attrs, slog.String("caller", d.Caller))
		}
	case RecordIncomplete:
		message, attrs = "record is incomplete", []slog.Attr{slog.String("why", d.Reason())}
	case StoreChanged:
		level, message, attrs = slog.LevelInfo, "store is back", []slog.Attr{slog.Duration("away_for", d.For)}
		if d.Away {
			level, message, attrs = slog.LevelWarn, "store is away, going on alone", []slog.Attr{slog.Any("error", d.Why)}
		}
	case InvariantBroken:
		level, message, attrs = slog.LevelError, "invariant broken", []slog.Attr{slog.String("invariant", string(d.Invariant))}
	case MethodChanged:
		message, attrs = "method changed", []slog.Attr{
			slog.String("operation", d.Operation.String()), slog.String("method", d.Method), slog.Int("upstream_code", d.Code),
		}
	}
	return level, message, attrs
}

func circuitAttrs(c CircuitChanged) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("breaker", string(c.Class)),
		slog.String("from", string(c.From)),
		slog.String("to", string(c.To)),
		slog.String("why", c.Why),
	}
	if c.Fault != nil {
		attrs = append(attrs, faultAttrs(c.Fault)...)
	}
	if c.Elsewhere {
		attrs = append(attrs, slog.Bool("open_elsewhere", true))
	}
	if c.OpenFor > 0 {
		attrs = append(attrs, slog.Duration("open_for", c.OpenFor))
	}
	if c.Outcomes > 0 {
		attrs = append(attrs, slog.Int("failures", c.Failures), slog.Int("outcomes", c.Outcomes))
	}
	return attrs
}

// ofAccount is where the account's own changes are logged.
func (g *Gateway) ofAccount() *slog.Logger { return cmp.Or(g.AccountLogger, g.Logger) }
