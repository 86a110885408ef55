package search

import (
	"encoding/binary"
	"time"
	"unique"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// encoding is how an entry is written into the store. Gateways of one version and the next
// run side by side: whoever changes what follows, the numbers of the classes, or what an
// entry means takes the next number, and what has another one is not there.
const encoding = 2

// encode writes an entry that is stored at a time.
func (e *entry) encode(now time.Duration) []byte {
	k := e.kind.Value()
	part := byte(0)
	if e.part {
		part = 1
	}
	b := append(make([]byte, 0, len(e.body)+len(k.contentType)+len(k.status)+32), encoding, byte(e.class), part)
	b = binary.AppendUvarint(b, uint64(max(now-e.fetched, 0)))
	b = binary.AppendUvarint(b, uint64(max(e.expires-e.fetched, 0)))
	b = binary.AppendUvarint(b, uint64(e.from))
	b = binary.AppendUvarint(b, uint64(e.to))
	for _, text := range []string{k.contentType, string(k.status)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return append(b, e.body...)
}

// decode reads what the store has. It is nil for what this version does not know, for what is
// not kept here for so long, and where the store's clock was set back: then it may be of any age.
// What is in progress and not as old as longest may be told for as long as there is something known
// of it.
func decode(in store.Found, caller string, f wire.Format, now, longest time.Duration, l *lifetimes) *entry {
	r := reader{rest: in.Entry}
	version, class, part := r.byte(), class(r.byte()), r.byte()
	age := time.Duration(r.number(1<<62)) + in.Age //nolint:gosec // as bounded
	lifetime := time.Duration(r.number(1 << 62))   //nolint:gosec // as bounded
	from, to := r.number(wire.MaxAnswer), r.number(wire.MaxAnswer)
	contentType, status := r.text(), wire.Status(r.text())
	if r.bad || in.Age < 0 || version != encoding || class >= classes || part > 1 || from > to || to > uint64(len(r.rest)) {
		return nil
	}
	most := l.fresh[class]
	if class == inProgress && age < longest {
		most = l.longest
	}
	left := min(in.Left, min(lifetime, most)-age)
	if left <= 0 {
		return nil
	}
	return &entry{
		kind:    unique.Make(kind{caller, f, contentType, status}),
		fetched: now - age,
		since:   now - age,
		expires: now + left,
		until:   now + left + l.kept[class] - l.fresh[class],
		body:    r.rest,
		from:    uint32(from), to: uint32(to), //nolint:gosec // at most wire.MaxAnswer
		part:  part == 1,
		class: class,
	}
}

// reader reads bytes until something is wrong with them.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad = r.bad || n > uint64(len(r.rest)); r.bad {
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads one of at most so much.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > most {
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) text() string { return string(r.take(r.number(wire.MaxAnswer))) }
