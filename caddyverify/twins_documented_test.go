package caddyverify

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// compared are the answers of both to one call.
type compared struct {
	operation wire.Operation
	form      string // and its key
	one, two  *twinAnswer
	about     *twin // nil where that is not known
	// webhooks tells that there are, cancelled how long ago one of the number was, and remembers for
	// how long IN PROGRESS is.
	webhooks  bool
	cancelled time.Duration
	faulty    bool
	remembers time.Duration
}

// absent are the fields that version 2 does not tell: by docs/v2.md "`price`, …" and "`events`, `checks`".
var absent = []string{"price", "currency", "estimated_price_messages_sent", "event_id", "id", "code"}

// documented tells whether answers may differ so, and whether the two verifications go different ways
// from then on. Each case is a row of the table in docs/v2.md.
func (c *compared) documented() (apart, ok bool) {
	one, two := c.one.fields["status"], c.two.fields["status"]
	age := time.Duration(0)
	if c.about != nil {
		age = time.Since(c.about.begun)
	}
	has := func(parameters ...string) bool {
		return slices.ContainsFunc(parameters, func(p string) bool { return strings.Contains(c.form, p) })
	}
	const margin = 5*time.Second + 100*time.Millisecond
	switch {
	case one == "10" && two == "10" || one == "5" && two == "5":
		return false, true // fewer of them name the verification; the provider's words are the gateway's own
	case c.about != nil && age >= c.about.plan.differs:
		// "default waits between messages", "`pin_expiry`".
		return true, true
	case c.about != nil && !c.webhooks && age >= c.about.plan.end && age < c.about.plan.end+margin+c.remembers &&
		(one == "EXPIRED" && two == string(wire.InProgress) || c.operation == wire.Control && one == "6" && two == "19"):
		// "`FAILED`, `EXPIRED` of its own accord": by the clock, and a cancel is refused by what is known.
		return false, true
	case c.operation == wire.Search && c.about != nil && c.about.doubted && one == "EXPIRED" && two == "101":
		return false, true // "the end after a check or a cancel that was not answered"
	case c.operation == wire.Request && two == "3" && one != "3" && has("A/B", "pin_code=12-34", "lg=cy-gb"):
		// "status 3 to a request"
		return true, true
	case c.faulty && (one == "5" || one == "1") && (ownWord.MatchString(c.two.fields["error_text"]) || c.about == nil && two == "6"):
		return c.operation == wire.Request, true // where the provider of the other is in trouble, it does not come to see what is wrong
	case one == "3" && two == "3" && ownWord.MatchString(c.two.fields["error_text"]):
		// Of several that are wrong it may name another, in its own words, and the key is free again: "status 3
		// to a request".
		return has("key"), true
	case c.operation == wire.Check && has("12-34"):
		return one != "6", two == "3" // "`code` with a dash to a check"
	case c.operation == wire.Request && has("4477009001"):
		// "statuses 6, 7, 15 and 29 to a request"
		return true, one == "7" && (two == "0" || two == "10") || (one == "6" || one == "15") && two == "3" || one == "3" && two == "3"
	case c.operation == wire.Request && c.cancelled < 13*time.Second:
		// "number that was cancelled a moment ago"
		return true, two == "10" || two == "0"
	}
	return false, false
}

// compare holds the answers of both against each other. It reports whether the two go different ways from
// then on.
func (w *twins) compare(o wire.Operation, f wire.Format, form string, answers [2]twinAnswer, about *twin) (apart bool) {
	if about != nil && about.apart {
		return true
	}
	c := compared{operation: o, form: form, one: &answers[0], two: &answers[1], about: about, webhooks: w.webhooks, faulty: w.faulty, cancelled: forever}
	if w.remembers {
		c.remembers = 2 * time.Second
	}
	for number, at := range w.cancelled {
		if strings.Contains(form, strings.ReplaceAll(number, "+", "%2B")) {
			c.cancelled = time.Since(at)
		}
	}
	difference := w.difference(c.one, c.two)
	if difference == "" { // but a key is free again where the gateway refuses
		return strings.Contains(form, "key") && ownWord.MatchString(c.one.fields["error_text"]) != ownWord.MatchString(c.two.fields["error_text"])
	}
	apart, ok := c.documented()
	age := time.Duration(-1)
	if about != nil {
		age = time.Since(about.begun)
	}
	if !ok {
		w.violate("%v %v %s %v after the beginning of %+v, webhooks %t, differs in %s: %d %q and %d %q", o, f, form, age, about, w.webhooks, difference, answers[0].code, answers[0].body, answers[1].code, answers[1].body)
	}
	if apart && about != nil {
		about.apart = true
	}
	return apart
}

// difference is the first field in which answers differ; "" where there is none.
func (w *twins) difference(one, two *twinAnswer) string {
	switch {
	case one.code != two.code:
		return "the HTTP code"
	case one.media != two.media:
		return "the Content-Type: " + one.media + " " + two.media
	case (one.unreadable == nil) != (two.unreadable == nil):
		return "what cannot be read"
	}
	fields := slices.Collect(maps.Keys(one.fields))
	for name := range two.fields {
		fields = append(fields, name)
	}
	slices.Sort(fields)
	for _, field := range fields {
		last := field[strings.LastIndexByte(field, '.')+1:]
		if slices.Contains(absent, last) {
			continue
		}
		a, hasA := one.fields[field]
		b, hasB := two.fields[field]
		if hasA != hasB || w.normal(a) != w.normal(b) {
			return field + ": " + a + " and " + b
		}
	}
	return ""
}

// ownWord is added to v1's sentence where the gateway says it: by docs/v2.md "status 3 to a request".
var ownWord = regexp.MustCompile(`; nothing was sent \(caddy-verify: \w+\)$`)

// normal is a text with the ids of both by the order in which they were made, and the key of the account.
func (w *twins) normal(text string) string {
	text = ownWord.ReplaceAllString(text, "")
	text = strings.NewReplacer(testKey, "the key", twinKey, "the key").Replace(text)
	for _, one := range w.born {
		text = strings.NewReplacer(one.ids[0], "an id of "+one.number, one.ids[1], "an id of "+one.number).Replace(text)
	}
	return text
}
