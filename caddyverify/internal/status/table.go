package status

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// maxRows is how many countries, and callers, a table has.
const maxRows = 10

// Write prints the status for people, in the order of their questions: is it working, how
// many verifications succeed, where not, what about the way to the provider.
func (s *Status) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "caddy-verify %s, %s, %s\n", s.Version, s.Go, s.Time.Format(time.RFC3339))
	if len(s.Accounts) == 0 {
		fmt.Fprintln(t, "\nThe configuration has no verify handler.")
	}
	for i := range s.Accounts {
		s.Accounts[i].write(t, s.Time)
	}
	return t.Flush()
}

func (a *Account) write(w io.Writer, now time.Time) {
	fmt.Fprintf(w, "\n%s", a.Account)
	if len(a.Names) > 0 {
		fmt.Fprintf(w, " (%s)", strings.Join(a.Names, ", "))
	}
	fmt.Fprintf(w, ": %s\n%s\n\n", strings.ToUpper(string(a.State)), a.Summary)
	h := &a.Hour
	fmt.Fprintf(w, "last hour\tstarted %d of %d\tverified %d\tsuccess %s\tspent %s\n", h.Started, h.Requested, h.Verified, Share(h.SuccessRate), Amounts(h.Spent))
	fmt.Fprintf(w, "provider\tcalls %d\tfailed %d\tp50 %s\tp99 %s\n", h.Upstream.Calls, h.Upstream.Failed, Quantity(h.Upstream.P50, "ms"), Quantity(h.Upstream.P99, "ms"))
	fmt.Fprintf(w, "searches\tfrom memory %d\tupstream %d\tentries %d\n", h.Calls["search"].Memory, h.Calls["search"].Upstream, a.Cache.Entries)
	fmt.Fprintf(w, "under way\t%d\tunsettled %d\n", a.Verifications.UnderWay, a.Verifications.Unsettled)
	for _, c := range a.Circuits {
		fmt.Fprintf(w, "breaker %s\t%s\n", c.Breaker, c.words(now))
	}
	fmt.Fprintf(w, "limit\t%s\twaiting %d\n", a.Limit.words(), a.Limit.Waiting)
	if s := a.Store; s != nil {
		fmt.Fprintf(w, "store\t%s\tgateways %d\tcalls %d\tfailed %d\n", s.words(now), s.Gateways, s.Calls, s.Failed)
	}
	if a.Guard != nil {
		a.Guard.write(w)
	}
	for _, t := range a.Troubles {
		fmt.Fprintf(w, "refused\tstatus %s (%s)\tsince %s\ttried again at %s\n", t.Status, meaning(t.Status), clock(t.Since), clock(t.Until))
	}
	if slices.Contains(a.Secrets, wire.NextSecret) {
		fmt.Fprintf(w, "secret\tnext_credentials\n")
	}
	writeGroups(w, "country", h.Countries)
	writeGroups(w, "caller", h.Callers)
}

func writeGroups(w io.Writer, what string, all []Group) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tstarted\tverified\tsuccess\tunchecked\ttime to verify\tspent\n", what)
	for _, g := range all[:min(len(all), maxRows)] {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%s\t%s\n", printable(g.Name), g.Started, g.Verified, Share(g.SuccessRate), g.Unchecked, Quantity(g.TimeToSuccess, "s"), Amounts(g.Spent))
	}
	if more := len(all) - maxRows; more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
}

func (s *Store) words(now time.Time) string {
	if s.Away {
		return "away for " + age(now.Sub(s.Since))
	}
	return "answers"
}

func (c *Circuit) words(now time.Time) string {
	switch {
	case c.State == wire.CircuitClosed:
		return string(c.State)
	case c.Held:
		return fmt.Sprintf("held open by an operator since %s", clock(c.Since))
	case c.Until.IsZero():
		return fmt.Sprintf("%s (%s) since %s", c.State, c.Why, clock(c.Since))
	}
	return fmt.Sprintf("%s (%s) since %s, next try in %s", c.State, c.Why, clock(c.Since), age(max(c.Until.Sub(now), 0)))
}

func (l *Limit) words() string {
	words := "off"
	if l.Rate > 0 {
		words = perSecond(l.Rate, l.Throttled)
	}
	if l.SearchRate > 0 {
		words += "\tsearches " + perSecond(l.SearchRate, l.SearchThrottled)
	}
	return words
}

func perSecond(rate int, throttled bool) string {
	if throttled {
		return fmt.Sprintf("%d/s, throttled by the provider", rate)
	}
	return fmt.Sprintf("%d/s", rate)
}

// Share prints a share in percent, and nothing as a dash.
func Share(s *float64) string {
	if s == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", *s*100)
}

// Quantity prints a number with its unit, and nothing as a dash.
func Quantity(q *float64, unit string) string {
	if q == nil {
		return "-"
	}
	if *q < 1 {
		return "under 1 " + unit
	}
	return fmt.Sprintf("%.0f %s", *q, unit)
}

// Amounts prints money by currency.
func Amounts(m history.Money) string {
	if len(m) == 0 {
		return "-"
	}
	var all []string
	for _, currency := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fmt.Sprintf("%.2f %s", m[currency], currency))
	}
	return strings.Join(all, ", ")
}

// printable is a name without what a terminal would obey: a caller's may be anybody's word.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, name)
}

// Write prints what is known of a verification for people.
func (v *Verification) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s\n\nrequest_id\t%s\naccount\t%s\nstate\t%s\n", printable(v.Summary), v.RequestID, v.Account, v.State)
	for _, row := range [...]struct {
		name string
		at   time.Time
	}{{"begun", v.Begun}, {"expires", v.Expires}, {"ended", v.Ended}} {
		if !row.at.IsZero() {
			fmt.Fprintf(t, "%s\t%s\n", row.name, row.at.Format(time.RFC3339))
		}
	}
	for _, row := range [...][2]string{{"country", v.Country}, {"caller", v.Caller}, {"workflow", v.Workflow}} {
		if row[1] != "" {
			fmt.Fprintf(t, "%s\t%s\n", row[0], printable(row[1]))
		}
	}
	fmt.Fprintf(t, "attempts\t%d\nspent\t%s\n", v.Attempts, Amounts(v.Spent))
	return t.Flush()
}
