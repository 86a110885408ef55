package guard

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// guardTest is a Guard and what it has told.
type guardTest struct {
	*Guard
	t       *testing.T
	changes []Change
	ids     int
}

func newTest(t *testing.T, s Settings) *guardTest {
	t.Helper()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	g := &guardTest{Guard: New(s), t: t}
	g.OnChange(func(c Change) { g.changes = append(g.changes, c) })
	return g
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// eur is an amount in cents.
func eur(cents int64) Money { return Money{cents * 10_000, "EUR"} }

// to is a start for a number of Great Britain.
func to(number string) Start {
	return Start{Number: number, Country: "GB", Caller: "shop", Worst: eur(5)}
}

// spread returns numbers of which no two are alike but for six digits.
func spread(n int) string { return fmt.Sprintf("44%04d%06d", n%10_000, n*7919%1_000_000) }

// start starts a verification and returns its id, or "" where it is refused.
func (g *guardTest) start(s Start) string {
	g.t.Helper()
	d := g.Decide(s)
	if _, refused := d.Refusal(); refused {
		return ""
	}
	g.ids++
	id := fmt.Sprint("id-", g.ids)
	g.Started(d.Ticket, id)
	return id
}

// verify starts and ends one with success.
func (g *guardTest) verify(s Start) bool {
	g.t.Helper()
	id := g.start(s)
	g.Ended(id, wire.OutcomeSuccess)
	return id != ""
}

// wants decides on a start and compares the sentence of the refusal, "" for none.
func (g *guardTest) wants(s Start, want string) Decision {
	g.t.Helper()
	d := g.Decide(s)
	got := ""
	if f, refused := d.Refusal(); refused {
		got = fmt.Sprintf("%s %v", f.Status, f)
	}
	if got != want {
		g.t.Errorf("%+v: refused with %q, want %q", s, got, want)
	}
	if refused := want != ""; refused == (d.Ticket != Ticket{}) {
		g.t.Errorf("%+v: refused %t, and a ticket %+v", s, refused, d.Ticket)
	}
	return d
}

// told compares the kinds of the changes since the last time.
func (g *guardTest) told(want ...ChangeKind) {
	g.t.Helper()
	var got []ChangeKind
	for _, c := range g.changes {
		got = append(got, c.Kind)
	}
	if !slices.Equal(got, want) {
		g.t.Errorf("changes %v, want %v", got, want)
	}
	g.changes = nil
}

func per(most int, within time.Duration) Window { return Window{most, within} }

// only are settings with one rule for all.
func only(set func(*RuleSet)) (s Settings) {
	set(&s.Account)
	return s
}
