// Package caller tells which application makes a call, by what the server has proved of
// it.
package caller

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
)

// Caller is an application, as an operator knows it. The zero Caller stands for all of
// which nothing is known.
type Caller struct {
	// Name tells callers apart. Answers, keys and shares are kept by it.
	Name string
	// Named tells that the configuration has the name, so that metrics can have it, too.
	Named bool
	// Account is the account of a caller that has one of its own; "" for none.
	Account string
	// Isolated callers have to do with the verifications that they started, and no other.
	Isolated bool
	// ReadsAll lets an isolated caller search for those of others.
	ReadsAll bool
	// Most is how many of its calls may be under way; 0 for any number.
	Most int

	underWay *atomic.Int64
}

// Enter takes in a call unless as many as may be are under way. Where it does, Leave is
// to be called.
func (c *Caller) Enter() bool {
	if c.Most == 0 {
		return true
	}
	if c.underWay.Add(1) > int64(c.Most) {
		c.underWay.Add(-1)
		return false
	}
	return true
}

// Leave ends a call.
func (c *Caller) Leave() {
	if c.Most > 0 {
		c.underWay.Add(-1)
	}
}

// Other is the name of all callers together that no Rule knows, where they are let in.
const Other = "other"

// Rule says by what a caller is known.
type Rule struct {
	Caller
	// From names what the server tells of a request, such as http.auth.user.id.
	From string
	// Is are the values that it has for this caller. An asterisk stands for any text.
	Is []string
}

// Rules find callers: the first that fits.
type Rules struct {
	rules []Rule
	other *Caller // nil refuses
}

var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}$`)

// NewRules makes Rules. other is for callers that none of them knows; nil refuses these.
// Its errors name the caller that cannot be.
func NewRules(rules []Rule, other *Caller) (*Rules, error) {
	r := &Rules{rules: rules}
	for i := range rules {
		rule := &rules[i]
		if !name.MatchString(rule.Name) || rule.Name == Other {
			return nil, fmt.Errorf("caller %q: a name has 1 to 64 letters, digits and _ . @ -, and is not %q", rule.Name, Other)
		}
		if len(rule.Is) == 0 {
			return nil, fmt.Errorf("caller %s: it has no value to be known by", rule.Name)
		}
		for _, before := range rules[:i] {
			if before.Name == rule.Name {
				return nil, fmt.Errorf("caller %s: there are two of this name; write all its values in one line", rule.Name)
			}
		}
		for _, value := range rule.Is {
			if value == "" {
				return nil, fmt.Errorf("caller %s: one of its values is empty, and nobody is known by that; leave it out", rule.Name)
			}
			if by := r.takenBefore(i, value); by != "" {
				return nil, fmt.Errorf("caller %s: %q is never found, since caller %s comes before and takes it", rule.Name, value, by)
			}
		}
		rule.Named = true
		rule.underWay = new(atomic.Int64)
	}
	if other != nil {
		other.Name, other.Named, other.underWay = Other, true, new(atomic.Int64)
		r.other = other
	}
	return r, nil
}

// takenBefore is the earlier caller that takes all that a value of a rule stands for.
func (r *Rules) takenBefore(i int, value string) string {
	for _, before := range r.rules[:i] {
		if before.From != r.rules[i].From {
			continue
		}
		for _, pattern := range before.Is {
			if match(pattern, value) {
				return before.Name
			}
		}
	}
	return ""
}

// Find returns the caller of a request, of which value tells what the server knows. ok
// is false where none is known and unknown ones are refused.
func (r *Rules) Find(value func(from string) (string, bool)) (c *Caller, ok bool) {
	for i := range r.rules {
		rule := &r.rules[i]
		is, ok := value(rule.From)
		if !ok || is == "" {
			continue
		}
		for _, pattern := range rule.Is {
			if match(pattern, is) {
				return &rule.Caller, true
			}
		}
	}
	return r.other, r.other != nil
}

// All returns the callers that there can be.
func (r *Rules) All() []*Caller {
	var all []*Caller
	for i := range r.rules {
		all = append(all, &r.rules[i].Caller)
	}
	if r.other != nil {
		all = append(all, r.other)
	}
	return all
}

// match tells whether a text fits a pattern, in which each asterisk stands for any text.
func match(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	if !ok {
		return false
	}
	for {
		next, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(text, next)
		}
		at := strings.Index(text, next)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(next):], more
	}
}
