package sandbox

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that goes wrong. The package comment lists the kinds.
type Fault struct {
	// Operation is request, check, search, control, psd2 or templates, or * for all, or webhook for
	// those that v2 sends. Default: *.
	Operation string

	// Kind is one of the kinds in the package comment. Required.
	Kind string

	// Value is what the kind needs, written as in a line for [ParseFault]: a
	// duration such as 1.5s, a number or a URL. Default: that of the kind.
	Value string

	// Share is the percentage of the operation's calls that the fault takes,
	// up to 100, spread evenly. Negative: no call. Default: 100.
	Share float64
}

// kind is what is known of a kind of fault.
type kind struct {
	works    bool     // the work is done before the answer is spoilt
	value    string   // duration, number or url; "" takes none
	from, to int      // the bounds of a number
	number   int      // the default, 0 where it must be given; once scheduled, the number
	problem  *problem // of v2, which alone has it
	only     string   // the only call of v2 that has it, as in callV2; "" for all
	webhook  bool     // of webhooks, which alone have it
	does     string   // for docs/sandbox.md
}

var kinds = map[string]kind{
	"delay":            {works: true, value: "duration", does: "answers that much later"},
	"status":           {value: "number", from: 1, to: 999, does: "that Verify status, with its documented text, in v2 what corresponds; what comes of 4, 8 and 9 behind a gateway, see Numbers"},
	"http":             {value: "number", from: 400, to: 599, does: "that HTTP code: 401 as problem+json, 429 as text, others as HTML"},
	"close":            {does: "closes the connection without a byte"},
	"reset_after":      {works: true, does: "resets the connection without a byte"},
	"hang":             {does: "never answers; ends when the client leaves"},
	"garbage":          {does: "the right Content-Type, not the right body"},
	"html":             {does: "HTTP 200 with a web page"},
	"truncate":         {works: true, does: "sends half of the Content-Length, then closes"},
	"drip":             {works: true, value: "duration", does: "sends one byte each duration"},
	"big":              {works: true, value: "number", from: 1, to: 1 << 30, number: 2 << 20, does: "adds padding, so many bytes"},
	"bomb":             {works: true, does: "gzip, asked for or not, of more than 256 MiB"},
	"deep":             {works: true, does: "adds lists nested 10,000 levels deep"},
	"dtd":              {works: true, does: "XML: entities that expand without end; JSON: status twice"},
	"duplicate_status": {works: true, does: "says status twice, the first time wrongly"},
	"redirect":         {value: "url", does: "302 to that address (default https://example.com/)"},
	"echo":             {works: true, does: "gives back the credentials received, in body and header"},
	"conflict":         {problem: &notNow, only: "next", does: "v2's next_workflow: 409, not at this time, try again"},
	"forbidden":        {problem: &notEnabled, only: "templates", does: "v2's templates: 403, not enabled for the account"},
	"jwt_expired":      {problem: &jwtExpired, does: "v2: 401, the JWT has expired"},
	"lose":             {webhook: true, does: "a webhook is not delivered"},
	"double":           {webhook: true, does: "a webhook is delivered twice"},
	"late":             {webhook: true, value: "duration", does: "a webhook is delivered that much later, after those that follow it"},
	"unsigned":         {webhook: true, does: "a webhook is not signed"},
	"forge":            {webhook: true, does: "a webhook is signed with another secret"},
	"no_content_type":  {works: true, does: "leaves out Content-Type"},
	"surplus":          {works: true, does: "sends what it received after the end of the answer"},
}

// FaultKinds are the kinds of faults, by name.
func FaultKinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// webhookOperation stands where others have the operation of a call.
const webhookOperation = "webhook"

func webhookKinds() []string {
	return slices.DeleteFunc(FaultKinds(), func(name string) bool { return !kinds[name].webhook })
}

// ParseFault reads a fault written as one line or as the fields of one:
//
//	<operation|*> <kind> [<value>] [<share>%]
//
// for example "search delay 2s 10%". The error tells what is wrong with it.
func ParseFault(fields ...string) (Fault, error) {
	words := strings.Fields(strings.Join(fields, " "))
	var f Fault
	if n := len(words); n > 0 && strings.HasSuffix(words[n-1], "%") {
		share, err := strconv.ParseFloat(strings.TrimSuffix(words[n-1], "%"), 64)
		if err != nil || !(share >= 0 && share <= 100) {
			return Fault{}, fmt.Errorf("sandbox: fault share %q: use 0%% to 100%%", words[n-1])
		}
		if f.Share = share; share == 0 {
			f.Share = -1
		}
		words = words[:n-1]
	}
	if len(words) < 2 || len(words) > 3 {
		return Fault{}, fmt.Errorf("sandbox: fault %q: write <operation|*> <kind> [<value>] [<share>%%]", strings.Join(fields, " "))
	}
	f.Operation, f.Kind = words[0], words[1]
	if len(words) == 3 {
		f.Value = words[2]
	}
	if _, err := newScheduled(f); err != nil {
		return Fault{}, err
	}
	return f, nil
}

// String writes the fault as the line that ParseFault reads.
func (f Fault) String() string {
	words := []string{f.Operation, f.Kind}
	if f.Operation == "" {
		words[0] = "*"
	}
	if f.Value != "" {
		words = append(words, f.Value)
	}
	if f.Share != 0 {
		words = append(words, strconv.FormatFloat(max(0, f.Share), 'f', -1, 64)+"%")
	}
	return strings.Join(words, " ")
}

// scheduled is a fault that has been checked and counts its calls.
type scheduled struct {
	Fault
	kind
	duration time.Duration
	url      string
	seen     uint64
}

func newScheduled(f Fault) (*scheduled, error) {
	if f.Operation == "" {
		f.Operation = "*"
	}
	if !slices.Contains([]string{"*", "request", "check", "search", "control", "psd2", "templates", webhookOperation}, f.Operation) {
		return nil, fmt.Errorf("sandbox: fault operation %q: use request, check, search, control, psd2, templates, webhook or *", f.Operation)
	}
	k, ok := kinds[f.Kind]
	if !ok {
		return nil, fmt.Errorf("sandbox: fault kind %q: use one of %s", f.Kind, strings.Join(FaultKinds(), ", "))
	}
	if k.webhook != (f.Operation == webhookOperation) {
		return nil, fmt.Errorf("sandbox: fault %s of %s: webhooks have faults of their own, %s", f.Kind, f.Operation, strings.Join(webhookKinds(), ", "))
	}
	if !(f.Share <= 100) {
		return nil, fmt.Errorf("sandbox: fault share %v: use at most 100", f.Share)
	}
	s := &scheduled{Fault: f, kind: k}
	var err error
	switch {
	case k.value == "duration":
		s.duration, err = time.ParseDuration(f.Value)
		if err != nil || s.duration <= 0 {
			return nil, fmt.Errorf("sandbox: fault %s needs a duration above 0 such as 500ms, not %q", f.Kind, f.Value)
		}
	case k.value == "number" && (f.Value != "" || k.number == 0):
		s.number, err = strconv.Atoi(f.Value)
		if err != nil || s.number < k.from || s.number > k.to {
			return nil, fmt.Errorf("sandbox: fault %s needs a number from %d to %d, not %q", f.Kind, k.from, k.to, f.Value)
		}
	case k.value == "url":
		s.url = f.Value
		if s.url == "" {
			s.url = "https://example.com/"
		}
		if u, err := url.Parse(s.url); err != nil || u.Host == "" {
			return nil, fmt.Errorf("sandbox: fault %s needs a URL such as https://example.com/, not %q", f.Kind, f.Value)
		}
	case k.value == "" && f.Value != "":
		return nil, fmt.Errorf("sandbox: fault %s takes no value, but has %q", f.Kind, f.Value)
	}
	return s, nil
}

func schedule(faults []Fault) ([]*scheduled, error) {
	var all []*scheduled
	for _, f := range faults {
		s, err := newScheduled(f)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// concerns says whether a call can be taken.
func (s *scheduled) concerns(c call) bool {
	switch {
	case s.Operation == "*" && c.operation == webhookOperation:
		return false
	case s.problem != nil && c.api != V2, s.only != "" && s.only != c.v2.to:
		return false
	}
	return s.Operation == "*" || s.Operation == c.operation
}

// takes counts one call and says whether it is one of the share: the calls at
// which the running total of shares passes a whole number.
func (s *scheduled) takes() bool {
	share := max(0, s.Share)
	if s.Share == 0 {
		share = 100
	}
	before := math.Floor(float64(s.seen) * share / 100)
	s.seen++
	return math.Floor(float64(s.seen)*share/100) > before
}

// plan is what goes wrong with one call.
type plan struct {
	delay  time.Duration
	delays string     // the kind that delays
	fault  *scheduled // nil if the call is answered as it should be
}

func planFor(faults []*scheduled, c call) plan {
	var p plan
	for _, f := range faults {
		if !f.concerns(c) || !f.takes() {
			continue
		}
		if f.Kind != "delay" && f.Kind != "late" {
			p.fault = f
			break
		}
		p.delay += f.duration
		p.delays = f.Kind
	}
	return p
}

func (p plan) works() bool { return p.fault == nil || p.fault.works }

// httpStatus is what comes of an answer.
func (p plan) httpStatus(a answer) int {
	switch {
	case p.fault == nil:
		return a.codeHTTP()
	case p.fault.Kind == "http":
		return p.fault.number
	case p.fault.Kind == "redirect":
		return http.StatusFound
	case p.fault.Kind == "close", p.fault.Kind == "hang", p.fault.Kind == "reset_after":
		return 0
	case a.empty:
		return http.StatusOK
	}
	return a.codeHTTP()
}

func (p plan) String() string {
	switch {
	case p.fault == nil && p.delay > 0:
		return p.delays
	case p.fault == nil:
		return ""
	case p.delay > 0:
		return p.delays + "+" + p.fault.Kind
	}
	return p.fault.Kind
}
