package gateway

import (
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// GuardReport is what an operator is told of an account's guard.
type GuardReport struct {
	Settings guard.Settings
	Status   guard.Status
	Budgets  []guard.BudgetFigures
	Blocks   []guard.Block
	// Record is the path of the record that is kept, "" for none, and Missing how many of its
	// lines are missing.
	Record  string
	Missing uint64
}

// GuardReport tells of the guard; false where it has nothing to do: no rule is on, no place is
// blocked and no record is kept.
func (a *Account) GuardReport() (GuardReport, bool) {
	r := GuardReport{Settings: a.inForce.Load().Guard, Status: a.guard.Status(), Budgets: a.guard.Budgets(), Blocks: a.guard.Blocks()}
	if kept := a.recording.Load(); kept != nil {
		r.Record, r.Missing = kept.path, kept.Missing()
	}
	return r, a.guard.On()
}

// Callers are the names that the configuration has for callers; none where it has no callers.
func (a *Account) Callers() []string { return a.inForce.Load().Callers }

// PinBlock refuses all starts of a place, until LiftBlocks.
func (a *Account) PinBlock(p guard.Place) error { return a.guard.Pin(p) }

// LiftBlocks ends the blocks of a target: those of a caller, or of all where it is nil. It tells how
// many there were here; other gateways that share the guard end theirs of the same places.
func (a *Account) LiftBlocks(target string, caller *string) (lifted int) {
	for _, b := range a.guard.Blocks() {
		if b.Target == target && (caller == nil || !b.Everyone && b.Caller == *caller) {
			lifted += a.guard.Lift(b.Place)
		}
	}
	if lifted == 0 { // others may have some
		place := guard.Place{Target: target, Everyone: caller == nil}
		if caller != nil {
			place.Caller = *caller
		}
		lifted = a.guard.Lift(place)
	}
	return lifted
}
