package store

import (
	"context"
	"time"
)

// Budgets let gateways spend no more together than a cap, by parts that they hold. Amounts are
// whole numbers up to MaxAmount, and stay readable for who can read the store.
type Budgets interface {
	// Hold tells how a budget is at a gateway, and asks for a part of it. Of all gateways, what is
	// spent and what is held come to no more than the cap, unless they hold more than that already.
	//
	// A gateway that is not heard from any more may yet spend what it holds: that counts as held for
	// Gone, and as spent until Book.Keep has passed since it was heard from last. So it may spend
	// it for as long as what is spent then counts no longer than that.
	//
	// A store that knows nothing of a budget grants nobody more than he holds, for BudgetClosed. What
	// somebody has heard of until then, and nobody tells again, counts as spent for Book.Keep.
	Hold(ctx context.Context, budget Name, b Book) (Grant, error)
}

// Pasts is into how many parts Book.Keep is divided for what was spent by gateways that are told
// apart no longer, of those beyond MaxGateways: it counts until the end of its part.
const Pasts = 32

// Book is how a budget is at one gateway. It is harmless twice, and late.
type Book struct {
	// By is whose it is: of NewMark, one for each who counts from nothing.
	By Mark
	// Seq grows from one Book to the next. An older one that comes later changes nothing.
	Seq uint64
	// Answered is the Seq of the last one that was answered. A store that has not heard of it has gone
	// back in time: it is as if it knew nothing.
	Answered uint64
	Cap      int64
	// Spent is what By has spent, each of which counts until it is Keep old.
	Spent []Spent
	Keep  time.Duration
	// Held is what By holds now, beside what it has spent, and Want what it would like to. With 0
	// for both it leaves.
	Held, Want int64
	// Others is what others had spent and held together, as By was told last.
	Others int64
}

// Spent is what was spent within a slice of somebody's time, so far: it only grows.
type Spent struct {
	Slice int64
	// Age is how long ago the slice began.
	Age    time.Duration
	Amount int64
}

// Grant is the answer to a Book.
type Grant struct {
	// Held is what By holds from now on: at least the lesser of what it held and what it wants.
	Held int64
	// OthersSpent and OthersHeld are of all others together.
	OthersSpent, OthersHeld int64
}

// Position is how far a log was read. The zero Position is before its first entry.
type Position string

// Logs are what gateways tell each other of what has happened.
type Logs interface {
	// Tell appends entries. Each is kept for life, and no more than the newest most of them. After
	// an error it may be told again, so who reads must know what he has read already.
	Tell(ctx context.Context, log Name, entries [][]byte, most int, life time.Duration) error
	// Read returns the first entries after a position, up to most.
	Read(ctx context.Context, log Name, after Position, most int) ([]Entry, error)
}

// Entry is one of a log.
type Entry struct {
	Position Position
	// Age is how long ago it was told.
	Age time.Duration
	// Value is nil where it cannot be opened.
	Value []byte
}
