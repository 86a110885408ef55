package caddyverify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/webhook"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestV1FromV2Model makes the same calls of version 1 of a gateway at version 1 and of one at
// version 2, at the same time, and compares all that the answers say: they differ as docs/v2.md
// has it, and in nothing else.
func TestV1FromV2Model(t *testing.T) {
	applicationKey() // once, and outside of fake time
	rapid.Check(t, func(rt *rapid.T) {
		webhooks := rapid.Bool().Draw(rt, "webhooks")
		remembers := !webhooks && rapid.Bool().Draw(rt, "remembers") // what is told by a webhook is forgotten
		steps := rapid.SliceOfN(twinSteps, 10, 50).Draw(rt, "steps")
		var violations []string
		synctest.Test(t, func(t *testing.T) {
			w := newTwins(t, webhooks, remembers)
			defer w.close(t)
			for _, s := range steps {
				w.step(s)
			}
			violations = w.violations
		})
		for _, violation := range violations {
			rt.Error(violation)
		}
	})
}

// twinStep is one thing that happens. The numbers choose among what there is.
type twinStep struct {
	kind   string
	format wire.Format
	list   bool
	ids    []int
	choice [8]int
}

var twinSteps = rapid.Custom(func(rt *rapid.T) twinStep {
	s := twinStep{
		kind:   rapid.SampledFrom([]string{"request", "request", "request", "search", "search", "search", "check", "check", "check", "control", "control", "sleep", "sleep", "sleep", "fault", "psd2"}).Draw(rt, "kind"),
		format: rapid.SampledFrom(wire.Formats[:]).Draw(rt, "format"),
		list:   rapid.Bool().Draw(rt, "list"),
		ids:    rapid.SliceOfNDistinct(rapid.IntRange(0, 11), 1, wire.MaxIDs, rapid.ID[int]).Draw(rt, "ids"),
	}
	for i := range s.choice {
		s.choice[i] = rapid.IntRange(0, 99).Draw(rt, fmt.Sprint("choice ", i))
	}
	return s
})

// pickTwin draws one of several.
func pickTwin[T any](s twinStep, n int, from ...T) T { return from[s.choice[n]%len(from)] }

// twins are two gateways, and what both have started, in the order in which that was.
type twins struct {
	sides      [2]*direct // at version 1 and 2
	webhooks   bool
	remembers  bool // IN PROGRESS, for two seconds
	born       []*twin
	cancelled  map[string]time.Time // by number
	alone      map[string]bool      // numbers of which only one has a verification, perhaps
	faulty     bool                 // the providers may answer by themselves
	violations []string
}

// twin is a verification at both.
type twin struct {
	ids    [2]string
	number string
	begun  time.Time
	plan   twinPlan
	wrong  int // codes
	// apart tells that the two have gone different ways, as docs/v2.md has it.
	apart bool
	// doubted tells that a check or cancel had no answer that says what was done.
	doubted bool
}

// twinPlan is what a request says of its times, and until when and from when on the two go on alike.
type twinPlan struct {
	form         string
	differs, end time.Duration
}

const forever = 24 * time.Hour

// twinPlans have the same times at both where the wait and the life of the code are the same, or there is
// one message; else by docs/v2.md "default waits" and "pin_expiry".
var twinPlans = []twinPlan{
	{"&next_event_wait=60&pin_expiry=60", forever, 180 * time.Second},
	{"&next_event_wait=100&pin_expiry=100&workflow_id=2", forever, 300 * time.Second},
	{"&next_event_wait=90&pin_expiry=90&workflow_id=3", forever, 180 * time.Second},
	{"&next_event_wait=61&pin_expiry=61&workflow_id=4", forever, 122 * time.Second},
	{"&next_event_wait=120&pin_expiry=120&workflow_id=5", forever, 240 * time.Second},
	{"&next_event_wait=75&pin_expiry=75&workflow_id=7", forever, 75 * time.Second},
	{"&workflow_id=6", forever, 300 * time.Second},
	{"", 125 * time.Second, 540 * time.Second},
	{"&workflow_id=4", 120 * time.Second, 300 * time.Second},
	{"&next_event_wait=60&pin_expiry=600", 180 * time.Second, 180 * time.Second},
}

// The account at version 2 has a key of another, since accounts of one are one.
const twinKey = "0fedcba1"

func newTwins(t *testing.T, webhooks, remembers bool) *twins {
	t.Helper()
	private, public := applicationKey()
	w := &twins{webhooks: webhooks, remembers: remembers, cancelled: map[string]time.Time{}, alone: map[string]bool{}}
	account := func() Account { return Account{Limit: -1, Cache: &Cache{Off: !remembers}} }
	w.sides[0] = newDirect(t, &Handler{Account: account()}, sandboxConfig)
	two, config := account(), sandboxConfig
	two.API, two.Credentials = apiV2, &Credentials{APIKey: twinKey, APISecret: testSecret}
	config.API, config.APIKey = sandbox.V2, twinKey
	if webhooks {
		two.Application, two.PrivateKey = testApplication, private
		config.Application, config.PublicKey = testApplication, public
		config.Webhook, config.SignatureSecret, config.Transport = "http://gateway.invalid/", twinSecret, w
	}
	w.sides[1] = newDirect(t, &Handler{Account: two}, config)
	return w
}

const twinSecret = "signature-secret-of-the-twins"

func (w *twins) close(t *testing.T) {
	_ = w.sides[1].api.Close()
	for _, side := range w.sides {
		side.close(t)
	}
	time.Sleep(time.Minute) // a search of the breaker may be on its way
}

// RoundTrip delivers webhooks.
func (w *twins) RoundTrip(r *http.Request) (*http.Response, error) {
	verifier, err := webhook.New(webhook.Settings{Key: twinKey, Secrets: []string{twinSecret}})
	if err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	delivery, err := verifier.Receive(r)
	if err == nil {
		w.sides[1].gateway.Told(r.Context(), delivery.Event)
		verifier.Settle(delivery, true)
	}
	recorder.WriteHeader(webhook.Code(err))
	return recorder.Result(), nil
}

func (w *twins) step(s twinStep) {
	switch s.kind {
	case "request":
		w.request(s)
	case "psd2":
		// By docs/v2.md "psd2": refused.
		if w.faulty {
			return
		}
		answers := w.call(wire.PSD2, wire.JSON, [2]string{"payee=Acme&amount=48.00&number=447700901000", "payee=Acme&amount=48.00&number=447700901000"}, "")
		if status := answers[1].fields["status"]; status != "3" {
			w.violate("psd2: %s", answers[1].body)
		}
	case "check":
		code := pickTwin(s, 0, testCode, testCode, "9999", "9999", "8888", "12", "12-34", "12345678901")
		w.about(wire.Check, s, "&code="+code, func(one *twin) {
			if code != testCode {
				one.wrong++
			}
		})
	case "control":
		cmd := pickTwin(s, 0, "cancel", "cancel", "trigger_next_event", "delete")
		w.about(wire.Control, s, "&cmd="+cmd, func(one *twin) {
			if cmd != "trigger_next_event" {
				return
			}
			// The new message has a new code at version 2, and at version 1 the code lives on; by docs/v2.md
			// "`pin_expiry`".
			exact := one.plan.differs == forever
			one.plan.differs = min(one.plan.end, time.Since(one.begun)+time.Minute)
			if one.wrong > 0 || !exact {
				one.plan.differs = 0
			}
		})
	case "search":
		w.search(s)
	case "sleep":
		// No sums of them meet the moment of a change.
		time.Sleep(time.Duration(pickTwin(s, 0, 1, 537, 2537, 6037, 15_037, 31_037, 61_037, 130_037)) * time.Millisecond)
	case "fault":
		w.fail(pickTwin(s, 0, "", "", "", "request status 5", "check status 5", "check status 1", "request status 1", "control status 5", "check http 503"))
	}
}

func (w *twins) fail(line string) {
	var faults []sandbox.Fault
	if w.faulty = line != ""; w.faulty {
		fault, err := sandbox.ParseFault(line)
		if err != nil {
			w.violate("%v", err)
			return
		}
		faults = append(faults, fault)
	}
	for _, side := range w.sides {
		if err := side.api.SetFaults(faults...); err != nil {
			w.violate("%v", err)
		}
	}
}

// request starts a verification of one of a few numbers, so that calls meet.
func (w *twins) request(s twinStep) {
	plan := pickTwin(s, 0, twinPlans...)
	number := pickTwin(s, 1, "447700900500", "447700900501", "447700900502", "447700900503", "+44 7700 900504", "07700900505&country=GB", "07700900506", "447700900103", "447700900105", "447700900107", "447700900106", "447700900115")
	form := "number=" + strings.ReplaceAll(number, "+", "%2B") + plan.form +
		"&brand=" + pickTwin(s, 2, "Acme", "Acme", "Acme", "Acme", "Acme", "A/B", "A brand of many too many letters") +
		pickTwin(s, 3, "", "", "", "", "", "&sender_id=AcmeInc", "&lg=de-de", "&lg=cy-gb", "&lg=none", "&code_length=6", "&code_length=5", "&pin_code=1234", "&pin_code=12-34", "&workflow_id=9", "&country=XX")
	key := pickTwin(s, 4, "", "", "", "", "key one", "key two")
	if key != "" {
		key += "-" + number[len(number)-4:] // what a key stands for may be another thing where one is alone
	}
	last := w.lastOf(number)
	began := time.Now()
	answers := w.call(wire.Request, s.format, [2]string{form, form}, key)
	ids := [2]string{answers[0].fields["request_id"], answers[1].fields["request_id"]}
	fresh := !slices.ContainsFunc(w.born, func(one *twin) bool { return one.ids[0] == ids[0] || one.ids[1] == ids[1] })
	if both := answers[0].fields["status"] == "0" && answers[1].fields["status"] == "0"; both && fresh {
		// One that had to wait began later: by docs/v2.md "number that was cancelled a moment ago".
		waited := time.Since(began) > 0
		w.born = append(w.born, &twin{ids: ids, number: number, begun: began, plan: plan, apart: waited})
	}
	if !w.alone[number] {
		w.alone[number] = w.compare(wire.Request, s.format, form+" "+key, answers, last)
	}
}

// lastOf is the verification of a number that was started last.
func (w *twins) lastOf(number string) *twin {
	for _, one := range slices.Backward(w.born) {
		if one.number == number {
			return one
		}
	}
	return nil
}

// about makes a call that is about a verification.
func (w *twins) about(o wire.Operation, s twinStep, more string, done func(*twin)) {
	ids, one := w.ids(s.ids[0])
	answers := w.call(o, s.format, [2]string{"request_id=" + ids[0] + more, "request_id=" + ids[1] + more}, "")
	w.compare(o, s.format, more, answers, one)
	if one != nil {
		done(one)
		if !strings.Contains(more, "trigger") && strings.Contains(answers[1].body, "may have been sent") {
			one.doubted = true
		}
		if strings.Contains(more, "cancel") && answers[0].fields["status"] == "0" {
			w.cancelled[one.number] = time.Now()
		}
	}
}

// ids are those of a verification that both have started, or unknown ones.
func (w *twins) ids(n int) ([2]string, *twin) {
	if n < 10 && len(w.born) > 0 {
		one := w.born[n%len(w.born)]
		return one.ids, one
	}
	unknown := pick(modelStep{choice: n}, strings.Repeat("0", 32), "unknown")
	return [2]string{unknown, unknown}, nil
}

// search compares what is said of each verification by itself.
func (w *twins) search(s twinStep) {
	var forms [2]string
	var asked []*twin
	for i, n := range s.ids {
		ids, one := w.ids(n)
		asked = append(asked, one)
		for side := range forms {
			switch {
			case s.list:
				forms[side] += "&request_ids=" + ids[side]
			case i == 0:
				forms[side] = "request_id=" + ids[side]
			}
		}
	}
	answers := w.call(wire.Search, s.format, forms, "")
	if !s.list {
		w.compare(wire.Search, s.format, "", answers, asked[0])
		return
	}
	var found [2]map[string]twinAnswer
	for side := range answers {
		found[side] = map[string]twinAnswer{}
		reading, err := wire.Read(wire.Search, s.format, []byte(answers[side].body))
		if err != nil {
			w.violate("a list is answered with %s: %v", answers[side].body, err)
			return
		}
		for _, v := range reading.Found {
			part := answers[side]
			part.body = string(v.Raw)
			part.read(s.format)
			found[side][v.RequestID] = part
		}
	}
	for _, one := range asked {
		if one != nil && one.doubted && found[1][one.ids[1]].body == "" {
			// "the end after a check or a cancel that was not answered"
			delete(found[0], one.ids[0])
			one.apart = true
		}
	}
	if len(found[0]) != len(found[1]) {
		w.violate("lists of %d and %d: %s %s", len(found[0]), len(found[1]), answers[0].body, answers[1].body)
		return
	}
	if len(found[0]) == 0 && !slices.ContainsFunc(asked, func(one *twin) bool { return one != nil && one.doubted }) {
		w.compare(wire.Search, s.format, "list", answers, nil)
	}
	for _, one := range slices.Compact(asked) {
		if one != nil {
			w.compare(wire.Search, s.format, "list", [2]twinAnswer{found[0][one.ids[0]], found[1][one.ids[1]]}, one)
		}
	}
}

func (w *twins) violate(format string, args ...any) {
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}
