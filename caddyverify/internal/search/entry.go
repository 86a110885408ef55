package search

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"time"
	"unique"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// entry is what the provider said about one verification, to one caller, in one
// format. Once stored it is not changed, but for the links, which belong to the
// store, and read.
//
// There are many of them, and the garbage collector follows each pointer every time.
// So an entry keeps no more than searches need, and shares what is the same for
// many.
type entry struct {
	// What a hit reads comes first, in as few cache lines as it takes: among many
	// entries it waits for little else than memory.
	kind    unique.Handle[kind]
	expires time.Duration // end of the lifetime
	fetched time.Duration // when the provider said so
	body    []byte
	// Where in body the state is: the JSON object or XML element.
	from, to uint32
	part     bool // body is a part of a list, not an answer
	class    class
	read     atomic.Bool // by a search, since it was stored

	self, prev, next ref           // in the queue of its class
	since            time.Duration // when it first said the same
	until            time.Duration // when the entry is thrown away
	id               string
	another          *entry // of the same verification: another caller's, or the other format
}

// kind is what many entries have in common.
type kind struct {
	caller      string
	format      wire.Format
	contentType string
	status      wire.Status
}

// overhead is the memory that an entry takes beside the bytes it keeps: itself,
// its place in go-cache's map and what the allocator rounds up. Measured:
// TestOverhead.
const overhead = 240

// newEntry copies what has to be kept out of an answer, so that neither a long
// list's body nor a client's request stays in memory for a part of it. whole is
// the answer's body, or nil for a part of a list.
func newEntry(caller string, f wire.Format, v *wire.Verification, whole []byte, contentType string) *entry {
	e := &entry{kind: unique.Make(kind{caller, f, contentType, v.Status})}
	from := bytes.Index(whole, v.Raw)
	if whole == nil || from < 0 {
		e.part, whole, from = true, v.Raw, 0
	}
	e.body = append([]byte(nil), whole...)
	e.from, e.to = uint32(from), uint32(from+len(v.Raw)) //nolint:gosec // at most wire.MaxAnswer
	return e
}

// noteRead writes only once: searches on other processors have the entry in their caches.
func (e *entry) noteRead() {
	if !e.read.Load() {
		e.read.Store(true)
	}
}

// fresh tells that the entry may be answered. What is in progress may be for so long at most.
func (e *entry) fresh(now, longest time.Duration) bool {
	return now < e.expires && (e.class != inProgress || now-e.fetched < longest)
}

// size is the memory that the entry takes, stored under id. What it has in common with
// others counts for each, since there may be none.
func (e *entry) size(id string) int64 {
	k := e.kind.Value()
	return int64(cap(e.body)+len(id)+len(k.caller)+len(k.contentType)) + overhead
}

// raw is the state as the provider wrote it.
func (e *entry) raw() []byte { return e.body[e.from:e.to:e.to] }

// answer says the entry to who asked for this verification alone. The bytes are
// those kept: not to be written to.
func (e *entry) answer() wire.Answer {
	k := e.kind.Value()
	a := wire.Answer{Code: http.StatusOK, ContentType: k.contentType, Body: e.body}
	a.Status = k.status
	if e.part {
		a.Body = wire.One(k.format, e.body)
	}
	return a
}
