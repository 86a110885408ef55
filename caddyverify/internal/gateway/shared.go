package gateway

import (
	"context"
	"sync"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/ledger"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What is known of verifications that other gateways have seen start.

// noEntry is the field of an entry that nobody keeps: for who asks for all but that.
const noEntry store.Field = ""

// share has the ledger know what the ledgers of other gateways know; nil is for no others. The
// caller of apply calls it.
func (a *Account) share(s *store.Shared) {
	if s == a.sharing {
		return
	}
	if a.unwatch != nil {
		a.unwatch()
	}
	a.sharing, a.unwatch = s, nil
	if s == nil {
		a.ledger.Share(nil)
		return
	}
	a.books.open(a)
	a.ledger.Share(func(requestID string) string { return s.Hidden(store.Of(requestID)).ID })
	a.unwatch = s.Watch(func(n store.Name) {
		if n.Kind != store.Ended {
			return
		}
		if id, ok := a.ledger.Named(n.ID); ok {
			a.books.look(id)
		}
	})
}

// learn has the ledger adopt a verification that it has not seen start, if the store knows it. A
// store that was away may have done late what it was told of the start.
func (a *Account) learn(requestID string, k store.Known) {
	if b, ok := ledger.DecodeBeginning(requestID, k.Start); ok {
		s := a.shared()
		b.Vague = s == nil || k.Begun >= s.Together()
		a.publishEvents(context.Background(), a.ledger.Adopt(b, k.Begun, k.Finished))
	} else if k.Finished {
		a.ledger.EndedElsewhere(requestID)
	}
}

// ask asks the store what is known of a verification, and learns it. It must be there.
func (a *Account) ask(ctx context.Context, s *store.Shared, requestID string) (store.Known, error) {
	found, err := s.Look(context.WithoutCancel(ctx), store.Of(requestID), noEntry)
	if err == nil {
		a.learn(requestID, found.Known)
	}
	return found.Known, err
}

// acquainted has the ledger know the verifications that a call is about before it learns from
// the answer, so that ends and costs are told with what is known of their start. It asks while
// the provider is asked.
func (a *Account) acquainted(next wire.Sender) wire.Sender {
	return func(ctx context.Context, call *wire.Call) wire.Answer {
		s := a.shared()
		if s == nil || call.Operation.Starts() {
			return next(ctx, call)
		}
		ids, _ := call.IDs()
		if id := call.RequestID(); id != "" {
			ids = []string{id}
		}
		var asking sync.WaitGroup
		for _, id := range ids {
			if _, known := a.ledger.StartedBy(id); !known {
				asking.Go(func() { _, _ = a.ask(ctx, s, id) })
			}
		}
		defer asking.Wait()
		return next(ctx, call)
	}
}

// ended tells that a verification is known to have ended, here or through another gateway.
func (a *Account) ended(ctx context.Context, requestID string) bool {
	return a.isOver(ctx, requestID, func(k store.Known) bool { return k.Finished })
}

// done tells that a verification may have ended: also where somebody has tried to end it.
func (a *Account) done(ctx context.Context, requestID string) bool {
	return a.isOver(ctx, requestID, func(k store.Known) bool { return k.Finished || k.Tried })
}

func (a *Account) isOver(ctx context.Context, requestID string, is func(store.Known) bool) bool {
	if a.ledger.Over(requestID) {
		return true
	}
	s := a.shared()
	if s == nil {
		return false
	}
	known, err := a.ask(ctx, s, requestID)
	return err == nil && is(known)
}

// started is how a verification began, as far as anybody knows.
type started struct {
	at     *Gateway // with whose account; nil if nobody knows
	caller string
	away   bool // a store that may know did not answer
}

func (s started) known() bool { return s.at != nil }

// whose returns how verifications began: what the ledgers of the accounts know and, where that
// is not enough, what their stores do. The ledgers learn what is enough.
func (g *Gateway) whose(ctx context.Context, ids []string, enough func(started) bool) []started {
	all := make([]started, len(ids))
	var asking sync.WaitGroup
	for i, id := range ids {
		all[i] = g.startedHere(id)
		if !enough(all[i]) && g.shares() {
			asking.Go(func() { all[i] = g.startedElsewhere(ctx, id, all[i], enough) })
		}
	}
	asking.Wait()
	return all
}

func (g *Gateway) shares() bool {
	for _, one := range g.chain {
		if one.Account.shared() != nil {
			return true
		}
	}
	return false
}

func (g *Gateway) startedHere(id string) started {
	for _, one := range g.chain {
		if caller, known := one.Account.ledger.StartedBy(id); known {
			return started{at: one, caller: caller}
		}
	}
	for _, one := range g.chain {
		if caller := one.Account.states.CallerHere(id); caller != "" {
			return started{at: one, caller: caller}
		}
	}
	return started{}
}

// startedElsewhere asks all the stores, whether or not one knows: the time that it takes must
// not tell. It does not wait for a client that leaves either, who would be told less then.
func (g *Gateway) startedElsewhere(ctx context.Context, id string, here started, enough func(started) bool) started {
	told := here
	for _, one := range g.chain {
		s := one.Account.shared()
		if s == nil {
			continue
		}
		found, err := s.Look(context.WithoutCancel(ctx), store.Of(id), noEntry)
		if err != nil {
			told.away = true
			continue
		}
		b, ok := ledger.DecodeBeginning(id, found.Start)
		if !ok || here.known() {
			continue
		}
		if told.at, told.caller = one, b.Caller; enough(told) {
			one.Account.learn(id, found.Known)
		}
	}
	if !enough(told) {
		g.startedAtV2(ctx, id, &told)
	}
	return told
}

// startedAtV2 asks the stores who started a verification of version 2. They know it for as long as
// searches for it are answered from there, which is longer than the ledgers know of any.
func (g *Gateway) startedAtV2(ctx context.Context, id string, told *started) {
	for _, one := range g.chain {
		if one.Account.shared() == nil || !one.Account.atV2.Load() {
			continue
		}
		caller, sure := one.Account.states.Caller(context.WithoutCancel(ctx), id)
		if told.away = told.away || !sure; caller != "" && !told.known() {
			told.at, told.caller = one, caller
		}
	}
}
