package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// probe is a search of an unused request_id, which costs nobody anything: it asks for a
// sign of life. It waits behind no customer's call.
func probe() *wire.Call {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	call := wire.SearchFor(wire.JSON, []string{hex.EncodeToString(id)}, false)
	call.Probe = true
	return call
}

func (w *way) probe(ctx context.Context) wire.Answer { return w.sendProbe(ctx, probe()) }

// probeForBreaker is a probe; the suspension learns from its answer, too.
func (g *Gateway) probeForBreaker(ctx context.Context) wire.Answer {
	w := g.way.Load()
	answer := w.probe(ctx)
	w.secrets.Searched(answer)
	return answer
}

// settleEvery is the time between two searches of the settler.
const settleEvery = time.Second

// settle asks for the outcome of verifications whose time is over and whose end nobody
// has seen, until it is stopped.
func (g *Gateway) settle() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	g.Account.settlers.Add(1)
	go func() {
		defer close(ended)
		ticker := time.NewTicker(settleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				g.settleSome(ctx)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		g.Account.settlers.Add(-1)
	}
}

// settleSome asks for up to ten, if nobody else wants to call. Where searches of others have had
// room for them of late, it asks only for those that cannot go along.
func (g *Gateway) settleSome(ctx context.Context) {
	a := g.Account
	along := a.wentAlong.Swap(false)
	if !g.maySettle() || a.limiter.Stats().Waiting > 0 {
		return
	}
	var ids []string
	if along {
		ids = a.ledger.DueAlone()
	} else {
		ids = a.ledger.Due(wire.MaxIDs)
	}
	if len(ids) == 0 {
		owing := a.prices.take(wire.MaxIDs, a.guard.Owes)
		for _, one := range owing {
			ids = append(ids, one.requestID)
		}
		defer func() { a.prices.asked(owing, a.guard.Owes) }()
	}
	if len(ids) == 0 {
		return
	}
	answer := g.way.Load().sendSettle(ctx, wire.SearchFor(wire.JSON, ids, len(ids) > 1))
	a.metrics.Lookup(answer.Fault == nil && (answer.List || answer.Status == wire.NoResponse || !answer.Status.Numeric()))
}

// maySettle tells that nothing keeps searches from the provider.
func (g *Gateway) maySettle() bool {
	_, suspended := g.way.Load().secrets.Status()
	circuit := g.Account.circuit(wire.Search)
	return !suspended && (circuit == "" || circuit == wire.CircuitClosed)
}

// settleAlong returns up to so many verifications for a list that is to go anyway, see
// search.Cache.Fill.
func (a *Account) settleAlong(most int) (ids []string, ended func(sent bool)) {
	a.mu.Lock()
	g := a.loggers.Get()
	a.mu.Unlock()
	if g == nil || a.settlers.Load() == 0 || !(*g).maySettle() {
		return nil, func(bool) {}
	}
	ids = a.ledger.DueTogether(most)
	return ids, func(sent bool) {
		if !sent {
			a.ledger.NotAsked(ids)
			return
		}
		a.wentAlong.Store(true)
	}
}
