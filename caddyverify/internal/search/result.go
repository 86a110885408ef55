package search

import (
	"strconv"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Result is what Cache-Status (RFC 9211) and Age (RFC 9111) tell of an answer.
type Result struct {
	// Kind says where the answer comes from; it is never CacheCoalesced nor CacheBypass.
	Kind wire.CacheResult
	// Stored tells that something the upstream said to this search was stored.
	Stored bool
	// Collapsed tells that the search shared a call which another one had begun.
	Collapsed bool
	// Alone tells that there is a store, and that it is away.
	Alone bool
	// Shared is for how many verifications it was the store that had the answer.
	Shared uint8
	// Refused is why the gateway made no call for what memory did not have; "" for
	// most.
	Refused wire.Cause
	// Asked is how many verifications were asked for, FromMemory for how many of
	// them memory had the answer.
	Asked, FromMemory int
	// TTL is for how long the answer can still be given from memory: that of the
	// part which expires first, negative for a stale one. Only for CacheHit and CacheStale.
	TTL time.Duration
	// Age is how long ago the upstream said the oldest part of the answer; 0 when
	// all of it is new.
	Age time.Duration

	buffer *buffer // what the answer's body was written into, or nil
}

// missed is the Result of a search that got nothing from memory.
func missed(asked int) Result { return Result{Kind: wire.CacheMiss, Asked: asked} }

// Label is the Kind as metrics count it, where a search that shared another's call is
// neither hit nor miss.
func (r Result) Label() wire.CacheResult {
	if r.Kind == wire.CacheMiss && r.Collapsed {
		return wire.CacheCoalesced
	}
	return r.Kind
}

// buffer is memory for the answer to a search for ten. Made anew each time it would be
// more than half of all that a search leaves to the garbage collector.
type buffer struct {
	from *sync.Pool
	// The provider's answers are some 5 KiB; a longer one gets memory of its own. With
	// the pointer, and Go's own word, it makes 8 KiB.
	bytes [8<<10 - 16]byte
}

// Release says that nobody will read the body of the answer that came with r again.
func (r *Result) Release() {
	if r.buffer != nil {
		r.buffer.from.Put(r.buffer)
		r.buffer = nil
	}
}

// AgeSeconds is the value of the header Age, and whether to send one: an answer
// that comes from upstream just now has none.
func (r Result) AgeSeconds() (seconds int64, ok bool) {
	return int64(r.Age / time.Second), r.FromMemory > 0
}

// CacheStatus returns the value of the header Cache-Status.
func (r Result) CacheStatus() string {
	b := append(make([]byte, 0, 96), "caddy-verify"...)
	switch {
	case r.Refused != "":
		return refused(r.Refused)
	case r.Kind == wire.CacheHit, r.Kind == wire.CacheStale:
		// Of a stale one nobody waits for the call that failed: to the client this is a hit.
		return string(r.appendDetail(appendTTL(append(b, "; hit"...), r.TTL)))
	case r.Kind == wire.CachePartial:
		b = append(b, "; fwd=partial"...)
	default:
		b = append(b, "; fwd=miss"...)
	}
	if r.Stored {
		b = append(b, "; stored"...)
	}
	if r.Collapsed {
		b = append(b, "; collapsed"...)
	}
	return string(r.appendDetail(b))
}

// appendDetail appends what there is to say besides. There is one detail, so where there are
// two things to say it is a text.
func (r Result) appendDetail(b []byte) []byte {
	switch {
	case r.Kind == wire.CachePartial:
		b = strconv.AppendInt(append(b, `; detail="`...), int64(r.FromMemory), 10)
		b = strconv.AppendInt(append(b, " of "...), int64(r.Asked), 10)
		b = append(b, ` from memory`...)
		if r.Alone {
			b = append(b, ", alone"...)
		}
		return append(b, '"')
	case r.Kind == wire.CacheStale && r.Alone:
		return append(b, `; detail="stale-if-error, alone"`...)
	case r.Kind == wire.CacheStale:
		return append(b, "; detail=stale-if-error"...)
	case r.Alone:
		return append(b, "; detail=alone"...)
	case r.Shared > 0:
		return append(b, "; detail=store"...)
	}
	return b
}

// Bypassed returns the value of the header Cache-Status for an answer that memory has
// nothing to do with.
func Bypassed(a *wire.Answer) string {
	if a.Fault != nil && a.Fault.Refused {
		return refused(a.Fault.Cause)
	}
	return "caddy-verify; fwd=bypass"
}

// refused says neither hit nor fwd, since nothing went forward.
func refused(cause wire.Cause) string { return "caddy-verify; detail=" + string(cause) }

// appendTTL rounds down, so that what is past its lifetime is negative.
func appendTTL(b []byte, ttl time.Duration) []byte {
	seconds := int64(ttl / time.Second)
	if ttl%time.Second < 0 {
		seconds--
	}
	return strconv.AppendInt(append(b, "; ttl="...), seconds, 10)
}
