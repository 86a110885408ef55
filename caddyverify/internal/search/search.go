package search

import (
	"context"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Search answers a search: from memory what is known, by one upstream call what
// is not, and by waiting for another's call what that is asking already. The
// answer's bytes may be shared and must not be written to; of what they say, its
// Status and List are sure to be there. Where it has a Fault it is in the API's own
// shape. Result.Release gives its memory back.
//
// The context that send gets has the values of the search that began the call, which may
// be over: what belongs to its request must not be changed.
//
// A caller sees only answers to the same caller. When ctx ends, Search returns
// with the Fault ClientLeft, and the upstream call goes on for the others.
func (c *Cache) Search(ctx context.Context, call *wire.Call, send wire.Sender) (wire.Answer, Result) {
	in := c.inForce.Load()
	answer, result := c.search(ctx, in, call, send)
	result.Alone = in.alone()
	c.counters.add(&result)
	return answer, result
}

func (c *Cache) search(ctx context.Context, in *configured, call *wire.Call, send wire.Sender) (wire.Answer, Result) {
	local := in.local()
	if id := call.Get("request_id"); id != "" && local { // the common one, without any allocation
		now := c.now()
		if e := c.shardOf(in.shards, id).find(id, call.Caller, call.Format, now, in.longest()); e != nil {
			return e.answer(), Result{Kind: wire.CacheHit, Asked: 1, FromMemory: 1, TTL: e.expires - now, Age: now - e.fetched}
		}
	}
	ids, list := call.IDs()
	if len(ids) == 0 { // wire.Parse lets none through
		return send(ctx, call), missed(0)
	}
	var room [wire.MaxIDs]part
	q := query{cache: c, caller: call.Caller, format: call.Format, list: list, parts: room[:0]}
	for _, id := range ids {
		q.parts = append(q.parts, part{id: id, open: true})
	}
	if list && local && q.lookup(in) {
		return compose(&q)
	}
	if err := ctx.Err(); err != nil {
		return fault(wire.ClientLeft, false, q.format, err), missed(len(ids))
	}
	for _, alone := range [...]bool{false, true} {
		if own := q.findOrJoin(alone); own != nil {
			go c.fetch(own.begin(ctx, c), own, nil, send)
		}
		if !q.wait(ctx) {
			return fault(wire.ClientLeft, true, q.format, ctx.Err()), missed(len(ids))
		}
		q.takeLooked()
		if alone || !q.reopen() {
			break
		}
	}
	return compose(&q)
}

// query is one search under way.
type query struct {
	cache  *Cache
	caller string
	format wire.Format
	list   bool
	parts  []part
}

// part is what a search asks about one verification.
type part struct {
	id     string
	entry  *entry  // where memory had it
	flight *flight // where it was waited for
	joined bool    // flight is another search's
	shared bool    // entry is the store's
	open   bool    // neither yet
}

// lookup looks everything up in memory. It reports false if something is missing.
func (q *query) lookup(in *configured) bool {
	now, longest := q.cache.now(), in.longest()
	for i := range q.parts {
		p := &q.parts[i]
		if p.entry = q.cache.shardOf(in.shards, p.id).find(p.id, q.caller, q.format, now, longest); p.entry == nil {
			return false
		}
	}
	return true
}

// findOrJoin finds for each open part its entry or a flight to wait for. It returns
// the flight that it has to begin, or nil.
func (q *query) findOrJoin(alone bool) *flight {
	in := q.cache.inForce.Load()
	own := newFlight(q.caller, q.format, q.list)
	own.shared, own.strict, own.alone, own.longest = in.shared, !in.local(), alone, in.longest()
	now := q.cache.now()
	for i := range q.parts {
		if p := &q.parts[i]; p.open {
			p.entry, p.flight = q.cache.shardOf(in.shards, p.id).findOrJoin(p.id, own, alone, now)
			p.joined = p.flight != nil && p.flight != own
			p.open = false
		}
	}
	if len(own.ids) == 0 {
		return nil
	}
	return own
}

// wait waits for all flights. It reports false when the caller has left.
func (q *query) wait(ctx context.Context) bool {
	for i := range q.parts {
		f := q.parts[i].flight
		if f == nil {
			continue
		}
		select {
		case <-f.done:
			continue
		default:
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			q.leave()
			return false
		}
	}
	return true
}

func (q *query) leave() {
	for i := range q.parts {
		if f := q.parts[i].flight; f != nil && f.leave() {
			for _, id := range f.ids {
				q.cache.shard(id).detach(id, f)
			}
		}
	}
}

// reopen finds the parts for which another search's call is no answer: it was
// refused for what else it asked, or left out what would be 101 if asked alone.
func (q *query) reopen() (any bool) {
	for i := range q.parts {
		p := &q.parts[i]
		if !p.joined {
			continue
		}
		a := &p.flight.answer
		_, v := p.flight.verdictOn(a, p.id)
		p.open = v == leftOut && !q.list || v == rejected && !inTrouble(a) && len(p.flight.asked()) > 1
		any = any || p.open
	}
	return any
}
