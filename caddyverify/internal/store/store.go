// Package store is what the gateways of one account share: states of verifications,
// who sends what, the rate, hints, what may be spent, and what has happened. The contract is Store; Memory keeps it within
// one process, caddyverify/redis between several. Shared wraps any of them: it hides
// names, seals values, and bounds how long a call can take.
//
// No clock of a gateway is ever compared with another's: durations go in and come out,
// and times are the store's.
package store

import (
	"context"
	"errors"
	"time"
)

// ErrAway says that the store did not answer in time, or not at all, and that the gateway
// goes on alone. What was asked for may still have been done, or be done later.
var ErrAway = errors.New("the store is away")

// Store is what the gateways of one account share. Its methods may be called by several
// at a time. Every error means that nobody knows whether it was done; none is a reason
// to tell a client. Each call is harmless when it runs twice, or late.
type Store interface {
	Verifications
	Claims
	Slots
	Hints
	Budgets
	Logs
	Fleet
}

// Verifications are the states of verifications that one gateway has been told and others
// may tell, each with a fence: what was asked for before a check or control is not stored
// once that has begun.
type Verifications interface {
	// Look returns an entry, or the token that storing it takes.
	Look(ctx context.Context, id Name, entry Field) (Found, error)
	// Keep stores an entry for life, unless a check or control has come between since the
	// token was given, or is under way. It tells whether it did.
	Keep(ctx context.Context, id Name, t Token, entry Field, v []byte, life time.Duration) (bool, error)
	// Before is for a check or control that is about to be sent: it drops all entries, and
	// nothing is stored until After, or until hold has passed, which must be longer than the
	// call can last. m is of NewMark; several at a time have one each.
	Before(ctx context.Context, id Name, m Mark, hold time.Duration) (Known, error)
	// After is for when it is over, before its client is answered: it drops what there is and
	// lifts that call's mark.
	After(ctx context.Context, id Name, m Mark) error
	// Begin notes how a verification started, unless that is known already, for ttl.
	Begin(ctx context.Context, id Name, start []byte, ttl time.Duration) error
	// Finish tells whether m is the first to tell that the verification is over, so that it is
	// counted once. m is of NewMark, one for each time that somebody learns of an end; asked
	// again with the same one, it says the same: after an error, ask again. It is known for ttl.
	Finish(ctx context.Context, id Name, m Mark, ttl time.Duration) (bool, error)
	// Paid tells by how much an amount that a verification is known to have cost is more than
	// what anybody has told of, 0 if it is not: so that each part is counted once. Amounts are
	// whole numbers up to MaxAmount, of a kind each, and stay readable for who can read the
	// store. m is of NewMark, one for each time that somebody learns of an amount; asked again
	// with the same one, it says the same. It is known for ttl.
	Paid(ctx context.Context, id Name, m Mark, kind Field, amount int64, ttl time.Duration) (more int64, err error)
}

// Claims let one of several gateways send what all were asked to, and hand the answer to
// the others.
type Claims interface {
	// Claim asks to be the one who sends. says is a digest of all that is said; another one
	// under the same name is a Conflict. Who gets it has lease to send and to Answer; the name
	// is kept for ttl, at least the lease. When the lease is over while the name is kept,
	// others are told Lost: it may have been sent. m is of NewMark, one for each try; asking
	// again with it is harmless, also after an error.
	Claim(ctx context.Context, k Name, m Mark, says [32]byte, lease, ttl time.Duration) (Claim, error)
	// Answer keeps the answer for ttl, if the name is still claimed by m, and tells whether it did.
	Answer(ctx context.Context, k Name, m Mark, v []byte, ttl time.Duration) (bool, error)
	// Release forgets the name, answer and all, if it is claimed by m.
	Release(ctx context.Context, k Name, m Mark) error
	// Take returns an answer to one asker only, and forgets the name. It is nil where there
	// is none, or where something else was said.
	Take(ctx context.Context, k Name, says [32]byte) ([]byte, error)
}

// Slots are the account's rate over all gateways.
type Slots interface {
	// Slot takes one of the calls that may be made in a second, perhaps one that is free a
	// little later.
	Slot(ctx context.Context, ask Ask) (Slot, error)
}

// Hints are what one gateway has learnt of the provider and others should look at.
type Hints interface {
	// Hint leaves a hint for life. The newest of a name counts.
	Hint(ctx context.Context, h Name, v []byte, life time.Duration) error
	// Hinted returns a hint and how long it is valid yet; nil where there is none.
	Hinted(ctx context.Context, h Name) ([]byte, time.Duration, error)
}

// Fleet is who shares the store.
type Fleet interface {
	// Beat says that this gateway is alive, and asks who is.
	Beat(ctx context.Context, p Pulse) (Seen, error)
	// Leave says that this gateway goes, so that its share is the others' at once.
	Leave(ctx context.Context) error
	// Watch calls f with the name of what has changed, whoever changed it: a verification
	// of which something was dropped, one that has Ended, a claim that was answered or
	// released, a hint. The zero Name means that anything may have. f must not block, and not
	// call the store. Names are the store's own, see Shared.Hidden.
	Watch(f func(Name)) (stop func())
}

// Kind is the kind of thing that a Name names.
type Kind byte

const (
	Verification Kind = 'v' // by request_id
	Key          Kind = 'i' // by caller, operation and Idempotency-Key
	Request      Kind = 'r' // by caller and what is asked for
	Topic        Kind = 'h' // by what a hint is about
	Ended        Kind = 'e' // of a Verification, by which Watch tells that it has ended
	Cap          Kind = 'b' // of a budget, by whose and for how long it is
	Log          Kind = 'l' // by what it is about
	Hook         Kind = 'w' // of a webhook, by its token
)

// Name is what something is known by. Gateways that mean the same must make the same ID; but
// for a request_id, of which Shared takes all spellings for one.
type Name struct {
	Kind Kind
	ID   string
}

// Of is the name of a verification.
func Of(requestID string) Name { return Name{Kind: Verification, ID: requestID} }

// Field is one of the entries of a verification, such as a caller and a format.
type Field string

// Token says which state of the fence a Look met.
type Token string

// Mark is of one try to do something, and of no other.
type Mark string

// Known is what is known of a verification.
type Known struct {
	// Start is what Begin was given, and Begun how long ago that was; nil if nobody knows.
	Start []byte
	Begun time.Duration
	// Finished tells that some gateway has counted it as over.
	Finished bool
	// Tried tells that some gateway has begun a check or control of it: that Before has been
	// called. What Before itself returns is of the time before it, but for one that runs twice.
	Tried bool
}

// Found is what Look found.
type Found struct {
	Known
	// Entry is nil where there is none.
	Entry []byte
	// Age is how long ago it was stored, Left how long it is valid yet.
	Age, Left time.Duration
	// Token is for Keep.
	Token Token
	// Hold says that a check or control is under way somewhere: do not Keep, nor keep in memory.
	Hold bool
}

// ClaimState is how a claim went.
type ClaimState int

const (
	// Yours: send it. Then Answer, or Release if nothing can have been sent.
	Yours ClaimState = iota
	// Wait: another sends it. Ask again when Watch says so, and after Claim.Left.
	Wait
	// Answered: another has sent it, here is the answer.
	Answered
	// Conflict: something else was said under this name.
	Conflict
	// Lost: whoever sent it, or did not, has not told within its lease.
	Lost
)

// Claim is what Claims.Claim returns.
type Claim struct {
	State ClaimState
	// Left is what is left of the other's lease.
	Left time.Duration
	// Answer is what the other was answered.
	Answer []byte
}

// Ask is a call that would like to be made. Gateways of an account should say the same Size: who
// says less than others leaves them the difference.
type Ask struct {
	// Size is how many calls all gateways may make in any second, 1 to MaxSize.
	Size int
	// Spare is how many slots must be left for calls that come first, and Later how many more
	// that are free within Soon, or as large a part of what is not kept back for silent gateways.
	Spare, Later int
	Soon         time.Duration
	// Most is how long the call would wait.
	Most time.Duration
}

// MaxAmount bounds what Paid is told: a number that every store can reckon with.
const MaxAmount = 1 << 53

// MaxSize bounds Ask.Size.
const MaxSize = 1000

// SlotState is what became of an Ask.
type SlotState int

const (
	// Given: make the call after Slot.Wait.
	Given SlotState = iota
	// Full: there is none within Ask.Most; Slot.Wait is when to ask again.
	Full
	// Alone: the store does not know yet what was called of late, for Slot.Wait. Use this
	// gateway's share, as without a store, and tell of it by Shared.Spent.
	Alone
)

// Slot is what Slots.Slot returns.
type Slot struct {
	State SlotState
	Wait  time.Duration
}

// Pulse is what a gateway tells of itself.
type Pulse struct {
	// Spent is how many calls it has made without a slot since the last Beat that came
	// through, at most those of the last second.
	Spent int
}

// Seen is what Beat returns.
type Seen struct {
	// Gateways are those that were heard from of late, this one among them.
	Gateways int
	// Silent are those that were not, and have not left either: they may be gone, or do what
	// nobody hears of.
	Silent int
	// Used is how many slots are in use: what all gateways have called in the last second, and
	// are about to. When the store is lost, what is left of the rate is all that there is for
	// the second that follows.
	Used int
	// Boot changes when the store has forgotten what it knew.
	Boot string
}

const (
	// Closed is how long the rate is closed when the store knows nothing, see Alone.
	Closed = 1500 * time.Millisecond
	// BudgetClosed is how long a store that knows nothing of a budget grants nobody more than he
	// holds. It is longer than gateways may take to tell it again: for a second it may pass for away.
	BudgetClosed = 4 * time.Second
	// Silent is after how long without a word a gateway's share is kept back for it.
	Silent = 500 * time.Millisecond
	// Gone is after how long it is forgotten.
	Gone = time.Minute
	// Life is how long what is known of a verification is kept at least.
	Life = 10 * time.Minute
	// Glance is how long it is kept that one was looked for of which nothing is known: anybody
	// can ask for ids that nobody has, as fast as he likes. What takes longer is not stored.
	Glance = time.Minute
	// MaxEntries bounds the entries of a verification, and the checks under way of it and the
	// amounts of a kind that are told apart. Beyond it nothing is stored, it is held longer, or
	// what was said of an amount is not said again.
	MaxEntries = 32
	// MaxGateways bounds how many are told apart.
	MaxGateways = 64
)
