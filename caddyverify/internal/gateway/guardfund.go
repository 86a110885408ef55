package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

const (
	// turnFor is how long a start waits for others that ask for money.
	turnFor = 250 * time.Millisecond
	// holdsAtOnce is how many budgets are told of at once, beside which calls have room.
	holdsAtOnce = 4
)

// fundAndDecide asks others for money where a start would lack it, and then the guard.
func (a *Account) fundAndDecide(ctx context.Context, s guard.Start) guard.Decision {
	defer a.fund(ctx, s)()
	return a.guard.Decide(s)
}

// fund asks others for money where a start would lack it, and for what all lack that wait. Until
// decided is called nobody else asks.
func (a *Account) fund(ctx context.Context, s guard.Start) (decided func()) {
	g := &a.guardShared
	shared := g.store.Load()
	if shared == nil || shared.Away() || !a.guard.Lacks(s) {
		return func() {}
	}
	own := s.Worst.Micro
	g.wanted.Add(own)
	wait := time.NewTimer(turnFor)
	defer wait.Stop()
	select {
	case g.turn <- struct{}{}:
	case <-wait.C:
		return func() { g.wanted.Add(-own) }
	}
	if !shared.Away() && a.guard.Lacks(s) {
		s.Worst.Micro = max(own, g.wanted.Load())
		a.hold(context.WithoutCancel(ctx), shared, a.guard.Wanting(s))
	}
	return func() {
		g.wanted.Add(-own)
		<-g.turn
	}
}

// hold tells books. The caller has the turn.
func (a *Account) hold(ctx context.Context, shared *store.Shared, books []guard.Book) {
	var telling sync.WaitGroup
	room := make(chan struct{}, holdsAtOnce)
	for _, told := range books {
		room <- struct{}{}
		telling.Go(func() {
			defer func() { <-room }()
			b := store.Book{
				By: a.guardShared.by, Seq: told.Seq, Answered: told.Answered, Cap: told.Cap.Micro, Keep: told.Keep,
				Held: told.Held, Want: told.Want, Others: told.Others,
			}
			for _, s := range told.Spent {
				b.Spent = append(b.Spent, store.Spent{Slice: s.Slice, Age: s.Age, Amount: s.Micro})
			}
			name := store.Name{Kind: store.Cap, ID: told.Name + " " + told.Cap.Currency}
			if granted, err := shared.Hold(ctx, name, b); err == nil {
				a.guard.Granted(told, guard.Grant{Held: granted.Held, OthersSettled: granted.OthersSpent, OthersHeld: granted.OthersHeld})
			}
		})
	}
	telling.Wait()
}
