package state

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Settings say how many verifications are kept and how long. The zero value of a field is its
// default.
type Settings struct {
	// MaxEntries is how many verifications are kept, about 0.9 kB each, 1.6 kB with webhooks. Above it those go first
	// that ended first, then those nearest to their end. Default: 100,000.
	MaxEntries int
	// Keep is how long one is remembered after its end. Default: 24h.
	Keep time.Duration
}

// orphan is how long it is kept what webhooks say of a verification that is not known to have begun:
// they may be faster than the answer to its request.
const orphan = time.Minute

// Early tells of an event so young that the answer to the request that began its verification may be
// under way yet. One that does not say when it was is not: the provider would send it for ever. Neither is
// one of a future that clocks do not explain.
func (e Event) Early() bool {
	at := e.At
	if at.IsZero() {
		at = e.Since
	}
	return time.Since(at).Abs() < orphan
}

// Book is what is known of verifications. It is safe for concurrent use.
type Book struct {
	settings Settings

	mu      sync.Mutex // of all below; nothing waits under it
	records records
	logs    store.Logs
	forgot  uint64
	pending map[*record]struct{} // of which something is untold
	stats   Stats
}

// Stats are what a Book holds and has counted.
type Stats struct {
	// Entries is how many verifications are kept, and Untold of how many of them the store has yet
	// to be told something.
	Entries, Untold int
	// Lost is how many were forgotten for want of room, and LostRunning how many of them were
	// under way.
	Lost, LostRunning uint64
	// Dropped is how many webhooks were about verifications that nobody here began, and Unknown how
	// many had a type or a status that nobody knows.
	Dropped, Unknown uint64
	// Missed is how many were looked for that nobody is known to have begun, and Unread how often the
	// store did not say whether somebody has.
	Missed, Unread uint64
	// Full is how many facts were left out, of verifications of which too much was known.
	Full uint64
}

// New returns an empty Book.
func New(s Settings) *Book {
	if s.MaxEntries <= 0 {
		s.MaxEntries = 100_000
	}
	if s.Keep <= 0 {
		s.Keep = 24 * time.Hour
	}
	return &Book{
		settings: s,
		records:  records{byID: map[string]*record{}, byNumber: map[string][]*record{}},
		pending:  map[*record]struct{}{},
	}
}

// Stats returns what was counted until now.
func (b *Book) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(time.Now())
	s := b.stats
	s.Entries, s.Untold = len(b.records.byID), len(b.pending)
	return s
}

// Began notes that the provider has begun a verification.
func (b *Book) Began(ctx context.Context, requestID string, s Start) {
	s.Channels = append([]string(nil), s.Channels[:min(len(s.Channels), maxSteps)]...)
	b.learn(ctx, requestID, fact{Kind: begun, ID: string(begun), Start: &s})
}

// Checked notes that a code was tried, by a call that took so long. A valid one ends the verification
// as SUCCESS.
func (b *Book) Checked(ctx context.Context, requestID string, valid bool, took time.Duration) {
	b.learn(ctx, requestID, fact{Kind: checked, Valid: valid, Took: took})
}

// Ended notes what the provider has answered to a check or control: that the verification is FAILED,
// for too many wrong codes, or CANCELLED.
func (b *Book) Ended(ctx context.Context, requestID string, status wire.Status) {
	if status.Final() {
		b.learn(ctx, requestID, fact{Kind: ended, Status: status})
	}
}

// Triggered notes that the provider sends the next message now, by a call that took so long.
func (b *Book) Triggered(ctx context.Context, requestID string, took time.Duration) {
	b.learn(ctx, requestID, fact{Kind: triggered, Took: took})
}

// Told takes in a webhook. known is false for a verification that no gateway here has begun: nothing
// is told of it, unless one turns out within a minute to have. sure is false where the store did not
// say so: the webhook should come again.
func (b *Book) Told(ctx context.Context, requestID string, e Event) (known, sure bool) {
	e.ID, e.Since, e.Sent = "", time.Time{}, append([]Message(nil), e.Sent...)
	r, known, sure := b.recall(ctx, wire.Spelling(requestID))
	b.mu.Lock()
	if !known && sure {
		b.stats.Dropped++
	}
	if e.strange() {
		b.stats.Unknown++
	}
	b.mu.Unlock()
	b.learnOf(ctx, r, fact{Kind: told, ID: of(&e), Event: &e})
	return known, sure
}

// Known tells whether a gateway here has begun the verification. It asks the store only about those
// that are not known here; sure is false where that did not say.
func (b *Book) Known(ctx context.Context, requestID string) (known, sure bool) {
	_, known, sure = b.recall(ctx, wire.Spelling(requestID))
	return known, sure
}

// Here tells whether the verification is known to have begun, without asking the store.
func (b *Book) Here(requestID string) bool {
	_, known := b.find(wire.Spelling(requestID))
	return known
}

// CallerHere is who started the verification, as far as is known without asking the store; "" where
// it is not.
func (b *Book) CallerHere(requestID string) string {
	v, _ := b.find(wire.Spelling(requestID))
	return v.caller()
}

// Caller is CallerHere after asking the store, whether or not there is a need. sure is false where
// that did not say.
func (b *Book) Caller(ctx context.Context, requestID string) (name string, sure bool) {
	_, v, _, sure := b.read(ctx, wire.Spelling(requestID))
	return v.caller(), sure
}

// recall is Known, with the record, which there may be no room to keep, and with whether that is
// sure.
func (b *Book) recall(ctx context.Context, id string) (r *record, known, sure bool) {
	if _, known := b.find(id); known {
		return &record{id: id}, true, true
	}
	r, _, known, sure = b.read(ctx, id)
	if !sure {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.stats.Unread++
	}
	return r, known, sure
}

// Own tells whether gateways here had to do with the verification, as far as this one knows without asking
// the store: it may know more than others then, such as the end of one that another has begun.
func (b *Book) Own(requestID string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.records.byID[wire.Spelling(requestID)]
	return r != nil && r.own()
}

// Find returns what is known of a verification, here and in the store: request_id in any spelling. sure is
// false where nothing is, since the store did not say.
func (b *Book) Find(ctx context.Context, requestID string) (v Verification, known, sure bool) {
	if v, known, sure = b.Recall(ctx, requestID); !known {
		b.mu.Lock()
		defer b.mu.Unlock()
		if sure {
			b.stats.Missed++
		} else {
			b.stats.Unread++
		}
	}
	return v, known, sure
}

// Recall is Find for what nobody has asked for: it is not counted.
func (b *Book) Recall(ctx context.Context, requestID string) (v Verification, known, sure bool) {
	_, v, known, sure = b.read(ctx, wire.Spelling(requestID))
	return v, known, sure
}

func (b *Book) find(id string) (v Verification, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(time.Now())
	if r := b.records.byID[id]; r != nil {
		return r.found()
	}
	return v, false
}

// Running returns the verification of a number that is under way, if this gateway knows of one.
func (b *Book) Running(number string) (requestID string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	var last *fact
	for _, r := range b.records.byNumber[digits(number)] {
		v := r.verification()
		if v.look(now).status == wire.InProgress && (last == nil || v.start().at.After(last.at)) {
			requestID, last = r.id, v.start()
		}
	}
	return requestID, last != nil
}

// Cancelled tells how long ago the last verification of a number was cancelled, if this gateway knows
// of one.
func (b *Book) Cancelled(number string) (ago time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, r := range b.records.byNumber[digits(number)] {
		for _, h := range r.facts {
			if h.Kind == ended && h.Status == wire.Cancelled && (!ok || now.Sub(h.at) < ago) {
				ago, ok = now.Sub(h.at), true
			}
		}
	}
	return ago, ok
}

// learn takes in what has just become known, and tells the store.
func (b *Book) learn(ctx context.Context, requestID string, f fact) {
	b.learnOf(ctx, &record{id: wire.Spelling(requestID)}, f)
}

func (b *Book) learnOf(ctx context.Context, r *record, f fact) {
	b.mu.Lock()
	r = b.take(r, false, f.now())
	b.mu.Unlock()
	b.tell(ctx, r)
}

// take takes facts in, under the lock: into what is kept of the verification, else into r. took
// tells that the store knows them. There may be no room to keep what it returns.
func (b *Book) take(r *record, took bool, facts ...*fact) *record {
	now := time.Now()
	b.sweep(now)
	if kept := b.records.byID[r.id]; kept != nil {
		r = kept
	} else {
		r.over = now
		b.records.put(r)
	}
	for _, f := range facts {
		if !r.add(f, took) {
			b.stats.Full++
		}
	}
	b.settle(r)
	b.sweep(now)
	b.note(r)
	return r
}

// settle puts a record into its place, by when it is over.
func (b *Book) settle(r *record) {
	v := r.verification()
	start := v.start()
	if start == nil {
		b.records.move(r, b.overUnbegun(r))
		return
	}
	_, all := v.plan(start)
	over := start.at.Add(all + margin)
	if end := v.verdict(start); end.status != "" {
		over = start.at.Add(end.elapsed)
	}
	b.records.move(r, over)
	b.records.index(r, digits(start.Start.Number))
}

// overUnbegun is for what is not known to have begun: webhooks alone are soon forgotten.
func (b *Book) overUnbegun(r *record) time.Time {
	for _, h := range r.facts {
		if h.Kind != told {
			return h.at
		}
	}
	return time.Now().Add(orphan - b.settings.Keep)
}

// sweep forgets what was over for long enough, and what there is no room for.
func (b *Book) sweep(now time.Time) {
	for len(b.records.queue) > 0 {
		r := b.records.queue[0]
		old := !r.over.Add(b.settings.Keep).After(now)
		if !old && len(b.records.queue) <= b.settings.MaxEntries {
			return
		}
		if !old && r.own() {
			b.stats.Lost++
			if r.over.After(now) {
				b.stats.LostRunning++
			}
		}
		b.records.drop(r)
		delete(b.pending, r)
	}
}

// note keeps in mind whether the store is to be told something of it.
func (b *Book) note(r *record) {
	if b.logs != nil && b.records.byID[r.id] == r && len(r.untold()) > 0 {
		b.pending[r] = struct{}{}
	} else {
		delete(b.pending, r)
	}
}

// digits is a number as it is looked for.
func digits(number string) string {
	return strings.Map(func(c rune) rune {
		if c < '0' || c > '9' {
			return -1
		}
		return c
	}, number)
}
