package search

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// reply is the answer to a query in the making, once all has been waited for.
type reply struct {
	states [][]byte    // as the provider wrote them, in the order asked
	status wire.Status // of the last of them
	// none is an answer of 101; failure is what no stale state makes good for.
	none, failure *wire.Answer
	known         *entry  // the last state from memory
	media         string  // the Content-Type of a part, rather a new one
	whole         *flight // the last flight that brought a part
	mixed         bool    // whole did not bring all of them
	stale         bool    // a part is past its lifetime, for the upstream's trouble
	result        Result
}

func compose(q *query) (wire.Answer, Result) {
	var room [wire.MaxIDs][]byte
	r := reply{states: room[:0], result: missed(len(q.parts))}
	now := q.cache.now()
	for i := range q.parts {
		p := &q.parts[i]
		if p.flight != nil {
			r.addFetched(q, p, now)
		}
		if p.entry != nil {
			r.addCached(p.entry, now)
		}
		if p.shared {
			r.result.Shared++
		}
	}
	return r.answer(q)
}

// addFetched takes in a part that was waited for. In trouble it finds the entry that
// can stand in.
func (r *reply) addFetched(q *query, p *part, now time.Duration) {
	r.result.Collapsed = r.result.Collapsed || p.joined
	r.result.Stored = r.result.Stored || !p.joined && p.flight.stored
	r.mixed = r.mixed || r.whole != nil && r.whole != p.flight
	r.whole = p.flight
	a := &p.flight.answer
	switch state, v := p.flight.verdictOn(a, p.id); v {
	case found:
		r.states, r.status, r.media = append(r.states, state.Raw), state.Status, a.ContentType
	case unknown:
		r.none = a
	case leftOut: // nothing is said of it
	case rejected:
		var stale bool
		if inTrouble(a) {
			p.entry, stale = q.standIn(p.id, now)
		}
		if p.entry == nil && r.failure == nil {
			r.failure = a
		}
		r.stale = r.stale || stale
	}
}

// standIn is the entry that stands in for what trouble keeps away, and tells whether it is past
// its lifetime. While nobody tells of checks at other gateways, that is no such state which one
// may have changed.
func (q *query) standIn(id string, now time.Duration) (e *entry, stale bool) {
	in := q.cache.inForce.Load()
	if !in.local() {
		return nil, false
	}
	e = q.cache.shardOf(in.shards, id).findStale(id, q.caller, q.format, now, in.lifetimes.stale)
	if e == nil {
		return nil, false
	}
	stale = !e.fresh(now, in.longest())
	if stale && e.class == inProgress && !in.watching() {
		return nil, false
	}
	return e, stale
}

// addCached takes in a part that memory answered.
func (r *reply) addCached(e *entry, now time.Duration) {
	r.mixed = true
	if e.class != notFound {
		r.states, r.status, r.known = append(r.states, e.raw()), e.kind.Value().status, e
	} else if r.none == nil {
		a := e.answer()
		r.none = &a
	}
	if r.media == "" {
		r.media = e.kind.Value().contentType
	}
	ttl := e.expires - now
	if r.result.FromMemory == 0 || ttl < r.result.TTL {
		r.result.TTL = ttl
	}
	r.result.Age = max(r.result.Age, now-e.fetched)
	r.result.FromMemory++
}

func (r *reply) answer(q *query) (wire.Answer, Result) {
	result := r.result
	switch {
	case r.failure != nil:
		// Never a list that is silently shorter.
		failed := Result{Kind: wire.CacheMiss, Asked: result.Asked, Collapsed: result.Collapsed, Stored: result.Stored}
		if fault := r.failure.Fault; fault != nil && fault.Refused {
			failed.Refused = fault.Cause
		}
		return *r.failure, failed
	case r.stale:
		result.Kind = wire.CacheStale
	case result.FromMemory == result.Asked:
		result.Kind, result.TTL = wire.CacheHit, max(result.TTL, 0)
	case result.FromMemory > 0:
		// A part can have passed its lifetime while the others were waited for; it
		// was fresh when it was asked for.
		result.Kind = wire.CachePartial
	}
	if len(r.states) == 0 && r.none != nil {
		return *r.none, result
	}
	if !r.mixed && r.whole.answer.List == q.list && slices.EqualFunc(r.states, r.whole.answer.Found, isRaw) {
		return r.whole.answer, result
	}
	if len(r.states) == 0 && !q.list { // examine lets no such answer through
		return fault(wire.AnswerUnreadable, true, q.format, errOtherID), missed(result.Asked)
	}
	if r.media == "" {
		r.media = q.format.ContentType()
	}
	a := wire.Answer{Code: http.StatusOK, ContentType: r.media}
	if a.List = q.list; a.List {
		result.buffer = q.cache.buffers.Get().(*buffer)
		a.Body = wire.AppendList(result.buffer.bytes[:0], q.format, r.states)
		return a, result
	}
	// A search for one has its state here, or has been answered before.
	if r.known != nil {
		return r.known.answer(), result
	}
	a.Status = r.status
	a.Body = wire.One(q.format, r.states[0])
	return a, result
}

func isRaw(raw []byte, v *wire.Verification) bool { return bytes.Equal(raw, v.Raw) }
