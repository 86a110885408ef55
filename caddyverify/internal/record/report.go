package record

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// Report is what rules would have done to the starts of a record.
type Report struct {
	// Starts were made From until To. The rules in force then have refused Unknown, so nobody knows
	// what would have become of them; Trusted were asked of no rule.
	Starts   int       `json:"starts"`
	From     time.Time `json:"from"`
	To       time.Time `json:"to"`
	Verified int       `json:"verified"`
	Unknown  int       `json:"refused_then"`
	Trusted  int       `json:"trusted"`
	// Spent is what all have cost, by currency: settled, or else the worst price.
	Spent map[string]float64 `json:"spent"`
	// Rules are by themselves, as in monitor, and All together, as in enforce.
	Rules []RuleReport `json:"rules"`
	All   RuleReport   `json:"all"`
	// Refused are the starts that all together refuse.
	Refused []Refused `json:"refused"`
	// Notes tell of lines that were left out.
	Notes []string `json:"notes,omitempty"`
}

// RuleReport is of a rule, or of all.
type RuleReport struct {
	Rule string `json:"rule"`
	// Refused starts, of which so many were Verified, Unverified, Unknown or Unbegun.
	Refused    int `json:"refused"`
	Verified   int `json:"verified"`
	Unverified int `json:"unverified"`
	Unknown    int `json:"refused_then"`
	// Unbegun are those that were not sent, or that the provider refused. They cost nothing.
	Unbegun int `json:"not_begun"`
	// Saved is what they have cost, as Spent of Report.
	Saved map[string]float64 `json:"saved"`
	// First is the first of them, and Why has the rule's figures then; Longest is for how long
	// at most it was to refuse more.
	First   time.Time `json:"first,omitzero"`
	Why     string    `json:"why,omitempty"`
	Longest float64   `json:"longest_seconds"`
}

// Refused is a start, by its file and line, and the rule that refuses it.
type Refused struct {
	Line string `json:"line"`
	Rule string `json:"rule"`
}

const million = 1_000_000

// telling makes a Report.
type telling struct {
	*Starts
	on    []guard.Rule
	rules [guard.RuleCount]RuleReport
	all   RuleReport
	each  []Refused
}

func newTelling(s *Starts, settings guard.Settings) *telling {
	t := &telling{Starts: s, each: []Refused{}}
	for _, rule := range guard.Rules() {
		t.rules[rule] = RuleReport{Rule: rule.String(), Saved: map[string]float64{}}
		if settings.Has(rule) {
			t.on = append(t.on, rule)
		}
	}
	t.all = RuleReport{Rule: "all", Saved: map[string]float64{}}
	return t
}

func (t *telling) alone(i int, f *guard.Finding) { t.rules[f.Rule].add(&t.Starts.all[i], f) }

func (t *telling) together(i int, f *guard.Finding) {
	s := &t.Starts.all[i]
	t.all.add(s, f)
	t.each = append(t.each, Refused{s.where, f.Rule.String()})
}

func (r *RuleReport) add(s *start, f *guard.Finding) {
	if r.Refused++; r.Refused == 1 {
		r.First, r.Why = s.At, f.String()
	}
	switch verified, known := s.verified(); {
	case !known:
		r.Unknown++
	case verified:
		r.Verified++
	case !s.begun():
		r.Unbegun++
	default:
		r.Unverified++
	}
	add(r.Saved, s.cost())
	r.Longest = max(r.Longest, f.Left.Seconds())
}

func add(to map[string]float64, cost guard.Money) {
	if cost.Micro > 0 {
		to[cost.Currency] += float64(cost.Micro) / million
	}
}

func (t *telling) report() *Report {
	starts := t.Starts.all
	r := &Report{
		Starts: len(starts), From: starts[0].At, To: starts[len(starts)-1].At, Spent: map[string]float64{},
		Rules: []RuleReport{}, All: t.all, Refused: t.each, Notes: t.Notes,
	}
	for i := range starts {
		s := &starts[i]
		verified, known := s.verified()
		switch {
		case s.Trusted:
			r.Trusted++
		case !known:
			r.Unknown++
		}
		if verified {
			r.Verified++
		}
		if known {
			add(r.Spent, s.cost())
		}
	}
	for _, rule := range t.on {
		r.Rules = append(r.Rules, t.rules[rule])
	}
	return r
}

// Write prints the report for people.
func (r *Report) Write(to io.Writer) error {
	for _, note := range r.Notes {
		fmt.Fprintln(to, note)
	}
	fmt.Fprintf(to, "%d starts from %s to %s UTC: %d verified, %d refused by the rules in force then, %d trusted; %s\n\n",
		r.Starts, shown(r.From), shown(r.To), r.Verified, r.Unknown, r.Trusted, money(r.Spent))
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "rule\twould refuse\tverified\tnot verified\trefused then\tnot begun\tsaves\tlongest\tfirst")
	for i := range r.Rules {
		r.Rules[i].write(w)
	}
	r.All.write(w)
	return w.Flush()
}

func (r *RuleReport) write(w io.Writer) {
	first, longest := "-", "-"
	if r.Refused > 0 {
		first = shown(r.First) + " " + r.Why
	}
	if d := time.Duration(r.Longest * float64(time.Second)); d > 0 {
		longest = d.Round(time.Second).String()
	}
	fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", r.Rule, r.Refused, r.Verified, r.Unverified, r.Unknown, r.Unbegun, money(r.Saved), longest, first)
}

func shown(t time.Time) string { return t.In(time.UTC).Format(time.DateTime) }

// money lists amounts by currency.
func money(amounts map[string]float64) string {
	var all []string
	for _, currency := range slices.Sorted(maps.Keys(amounts)) {
		if amounts[currency] > 0 {
			all = append(all, fmt.Sprintf("%.2f %s", amounts[currency], currency))
		}
	}
	if len(all) == 0 {
		return "no price known"
	}
	return strings.Join(all, ", ")
}
