package search

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// entry is what the provider said about one verification, to one caller, in one
// format. Once stored it is not changed, but for the links, which belong to the
// store.
type entry struct {
	// What a hit reads first, in as few cache lines as it takes: among many entries
	// it waits for little else than memory.
	format      wire.Format
	class       class
	caller      string
	contentType string
	// fetched is when the provider said so, since when it first said the same;
	// expires ends the lifetime, and at until the entry is thrown away.
	expires, fetched, since, until time.Duration
	// whole is the answer's body where it was about this verification alone, and
	// nil where the state is a part of a list.
	whole []byte
	state wire.Verification
	// found is state as answers have it.
	found [1]*wire.Verification
	id    string
	size  int64

	another    *entry // of the same verification: another caller's, or the other format
	prev, next *entry // of the same class, by age
}

// overhead is the memory that an entry takes beside the bytes it keeps: itself,
// its place in go-cache's map and what the allocator rounds up. Measured:
// TestOverhead.
const overhead = 432

// newEntry copies what has to be kept out of an answer, so that neither a long
// list's body nor a client's request stays in memory for a part of it. whole is
// nil for a part of a list.
func newEntry(caller string, f wire.Format, v *wire.Verification, whole []byte, contentType string) *entry {
	e := &entry{caller: caller, format: f, state: *v}
	kept := &e.state
	e.found[0] = kept
	if whole == nil {
		kept.Raw = clone(v.Raw)
		e.size = int64(cap(kept.Raw))
	} else {
		e.whole = clone(whole)
		e.size = int64(cap(e.whole))
		// The same bytes are in the copy, most often at its beginning.
		if i := bytes.Index(e.whole, v.Raw); i >= 0 {
			kept.Raw = e.whole[i : i+len(v.Raw) : i+len(v.Raw)]
		}
	}
	if contentType == f.ContentType() {
		e.contentType = f.ContentType() // the constant, not one more copy
	} else {
		e.contentType = strings.Clone(contentType)
		e.size += int64(len(contentType))
	}
	e.pack()
	return e
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

// pack puts the entry's short texts into one string of its own.
func (e *entry) pack() {
	v := &e.state
	texts := [...]*string{&e.caller, (*string)(&v.Status), &v.Price, &v.EstimatedPrice, &v.Currency, &v.Network}
	var b strings.Builder
	n := 0
	for _, text := range texts {
		n += len(*text)
	}
	b.Grow(n)
	for _, text := range texts {
		b.WriteString(*text)
	}
	packed := b.String()
	for _, text := range texts {
		*text, packed = packed[:len(*text)], packed[len(*text):]
	}
	e.size += int64(n)
}

// name gives the entry its id for good.
func (e *entry) name(id string) {
	e.id = id
	if v := &e.state; v.RequestID != "" {
		v.RequestID = id
	}
}

// answer says the entry to who asked for this verification alone. The bytes are
// those kept: not to be written to.
func (e *entry) answer() wire.Answer {
	a := wire.Answer{Code: http.StatusOK, ContentType: e.contentType, Body: e.whole}
	a.Verification = e.state
	if e.class != notFound {
		a.Found = e.found[:1:1]
	}
	if a.Body == nil {
		a.Body = wire.One(e.format, e.state.Raw)
	}
	return a
}
