package guard

import "github.com/caddyverify/caddy-verify/caddyverify/internal/wire"

// EntryKind is what an Entry tells.
type EntryKind uint8

const (
	// Decided tells of a start that was refused or let through.
	Decided EntryKind = iota
	// Withdrawn tells that it was not sent after all, or was refused by the provider at no cost.
	Withdrawn
	// Ran tells that the provider refused it, since another verification of the number is under way.
	Ran
	// Finished tells how a verification ended.
	Finished
	// Settled tells what it has cost so far.
	Settled
)

// Entry is what there is to write down of a start, for who wants to know later what other rules
// would have done.
type Entry struct {
	Kind EntryKind
	// Serial is the start's, the same in all that is told of it.
	Serial uint64
	// Start is that of Decided, as it was decided on; a number in it is a whole one.
	Start Start
	// Refused tells that Rule refused it, and Trusted that no rule was asked.
	Refused, Trusted bool
	Rule             Rule
	// Other is the Serial of the verification that is under way, of Ran; 0 where it is not known.
	Other uint64
	// Outcome is that of Finished, and Spent of Settled.
	Outcome wire.Outcome
	Spent   Money
}

// Record has f told of all starts from now on and what becomes of them, in their order and under the Guard's lock: it is to
// do no more than to keep them. nil ends that. A Guard that keeps a record is On.
func (g *Guard) Record(f func(Entry)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.record, g.unrecorded = f, g.serial
	g.switchOn()
}

// decided tells of a decision.
func (g *Guard) decided(l *look, serial uint64, trusted bool) {
	if g.record == nil {
		return
	}
	f, refused := l.d.Refusal()
	g.record(Entry{Kind: Decided, Serial: serial, Start: l.Start, Refused: refused, Rule: f.Rule, Trusted: trusted})
}

// tell tells what became of a start.
func (g *Guard) tell(r *record, e Entry) {
	if g.record != nil && r.serial > g.unrecorded {
		e.Serial = r.serial
		g.record(e)
	}
}
