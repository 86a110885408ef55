package state

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// act is one thing that becomes known, some time after the one before.
type act struct {
	after  time.Duration
	kind   kind
	word   string // of a webhook, or an end
	whole  bool   // a summary
	ago    time.Duration
	silent bool // without a time
	at     int  // which gateway learns it
	twice  bool // both do
	away   int  // which gateways' stores are away: 0 none, 1, 2, or 3 both
	answer bool // what is away takes what it is told
	asked  bool // somebody searches for it
}

var acts = rapid.Custom(func(t *rapid.T) act {
	return act{
		after:  rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}).Draw(t, "after"),
		kind:   rapid.SampledFrom([]kind{checked, checked, "valid", ended, triggered, triggered, told, told, told, doubted, doubted, gone}).Draw(t, "kind"),
		word:   rapid.SampledFrom([]string{"completed", "failed", "failed", "rejected", "blocked", "expired", "expired", "in_limbo"}).Draw(t, "word"),
		whole:  rapid.Bool().Draw(t, "whole"),
		ago:    rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 2 * time.Minute}).Draw(t, "ago"),
		silent: rapid.Bool().Draw(t, "silent"),
		at:     rapid.IntRange(0, 1).Draw(t, "at"),
		twice:  rapid.Bool().Draw(t, "twice"),
		away:   rapid.IntRange(0, 3).Draw(t, "away"),
		answer: rapid.Bool().Draw(t, "answer"),
		asked:  rapid.Bool().Draw(t, "asked"),
	}
})

// fact is what the act makes known.
func (a act) fact() *fact {
	switch a.kind { //nolint:exhaustive // the others say no more
	case "valid":
		return fact{Kind: checked, Valid: true}.now()
	case ended:
		status := wire.Cancelled
		if len(a.word)%2 == 0 {
			status = wire.Failed
		}
		return fact{Kind: ended, Status: status}.now()
	case told:
		e := a.event()
		return fact{Kind: told, ID: of(&e), Event: &e}.now()
	}
	return fact{Kind: a.kind, Took: a.ago}.now()
}

func (a act) event() Event {
	now := time.Now().UTC()
	e := Event{Type: "event", Channel: "sms", Status: a.word, At: now.Add(-a.ago), Sent: []Message{{"sms", now.Add(-2 * a.ago)}}, Price: "0.1"}
	if a.whole {
		e.Type = summaryType
	}
	if a.silent {
		e.At, e.Sent = time.Time{}, nil
	}
	return e
}

// moments are when Books are compared.
var moments = []time.Duration{0, 3 * time.Minute, time.Hour}

// TestModelOfFacts has the same facts come in any order, twice, and to two Books that share a store:
// all of them say the same as one that has heard everything once.
func TestModelOfFacts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(acts, 0, 12).Draw(rt, "acts")
		order := rapid.Permutation(slices.Repeat(seq(len(all)+1), 2)).Draw(rt, "order")
		var err error
		synctest.Test(t, func(*testing.T) {
			ctx := context.Background()
			s := start()
			facts := []*fact{fact{Kind: begun, ID: string(begun), Start: &s}.now()}
			for _, a := range all {
				time.Sleep(a.after)
				facts = append(facts, a.fact())
			}
			alone := New(Settings{})
			take(alone, facts...)
			fleet := newFleet()
			second := map[int]bool{}
			for _, i := range order {
				b := fleet.books[(i+len(all))%2]
				if second[i] && i%3 > 0 { // others hear of it as well
					b = fleet.books[(i+len(all)+1)%2]
				}
				f := facts[i]
				if second[i] == (i%2 == 0) { // at a gateway whose clock is fast
					later := *f
					later.Shown += 3000
					f = &later
				}
				second[i] = true
				take(b, f)
				if i%4 == 0 {
					b.Find(ctx, id)
				}
			}
			for range 2 { // what the first has not told the second yet
				for _, b := range fleet.books {
					b.Find(ctx, id)
				}
			}
			err = agree(ctx, alone, fleet)
		})
		if err != nil { // rapid stops a test by a panic, which a bubble would not survive
			rt.Fatal(err)
		}
	})
}

// TestModelOfActs has gateways learn things while the store comes and goes.
func TestModelOfActs(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.SliceOfN(acts, 0, 12).Draw(rt, "acts")
		var err error
		synctest.Test(t, func(*testing.T) {
			ctx := context.Background()
			alone, f := New(Settings{}), newFleet()
			alone.Began(ctx, id, start())
			f.books[0].Began(ctx, id, start())
			f.books[1].Find(ctx, id)
			for _, a := range all {
				time.Sleep(a.after)
				for i, w := range f.ways {
					away := a.away>>i&1 > 0
					w.away, w.silent = away && !a.answer, away && a.answer
				}
				a.do(ctx, alone)
				a.do(ctx, f.books[a.at])
				if a.twice && a.kind == told {
					a.do(ctx, f.books[1-a.at])
				}
				if a.asked {
					f.books[1-a.at].Find(ctx, id)
				}
			}
			for _, w := range f.ways {
				w.away, w.silent = false, false
			}
			for _, b := range f.books {
				b.Retell(ctx)
			}
			err = agree(ctx, alone, f)
		})
		if err != nil { // rapid stops a test by a panic, which a bubble would not survive
			rt.Fatal(err)
		}
	})
}

func (a act) do(ctx context.Context, b *Book) {
	switch f := a.fact(); f.Kind {
	case checked:
		b.Checked(ctx, id, f.Valid, f.Took)
	case ended:
		b.Ended(ctx, id, f.Status)
	case triggered:
		b.Triggered(ctx, id, f.Took)
	case doubted:
		b.Doubted(ctx, id, f.Took)
	case gone: // whatever is known here
		b.learn(ctx, id, *f)
	default:
		b.Told(ctx, id, a.event())
	}
}

func take(b *Book, facts ...*fact) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.take(&record{id: id}, false, facts...)
}

func seq(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// agree checks that those who share, and one that has just been started, say what one says who has
// heard all by himself.
func agree(ctx context.Context, alone *Book, f *fleet) error {
	end := wire.InProgress
	for i, after := range moments {
		time.Sleep(after)
		for _, format := range wire.Formats[:1+i/2] {
			call := wire.SearchFor(format, []string{id}, false)
			want := search(ctx, alone, call)
			if end.Final() && want.Status != end {
				return fmt.Errorf("%v has become %v", end, want.Status)
			}
			for i, b := range append(f.books[:], f.fresh()) {
				if got := search(ctx, b, call); got.Status != want.Status || !bytes.Equal(got.Body, want.Body) {
					return fmt.Errorf("Book %d says after %v\n%s\nwant\n%s", i, after, got.Body, want.Body)
				}
			}
			end = want.Status
		}
	}
	return nil
}
