package suspend

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// blocked lists the operations that fail fast.
func blocked(a *Suspension) string {
	var words []string
	for _, o := range wire.Operations {
		if _, status, _, ok := a.Allow("", o); !ok {
			words = append(words, o.String()+" "+string(status))
		}
	}
	return strings.Join(words, ", ")
}

func TestAccountBlocks(t *testing.T) {
	all := func(s string) string { return fmt.Sprintf("request %s, search %[1]s, control %[1]s, psd2 %[1]s", s) }
	tests := []struct {
		name      string
		operation wire.Operation
		answer    wire.Answer
		want      string
	}{
		{"success", wire.Request, fine, ""},
		{"bad credentials", wire.Request, says("4"), all("4")},
		{"bad credentials, by a check", wire.Check, says("4"), all("4")},
		{"HTTP 401", wire.Search, fails(wire.UpstreamUnauthorized), ""}, // see TestAccountSuspicion
		{"barred", wire.Control, says("8"), all("8")},
		{"no credit", wire.Request, says("9"), "request 9, psd2 9"},
		{"no credit, by psd2", wire.PSD2, says("9"), "request 9, psd2 9"},
		{"no credit, not by a request", wire.Control, says("9"), ""},
		{"throttled", wire.Request, busy, ""},
		{"HTTP 500", wire.Request, fails(wire.UpstreamError), ""},
		{"the gateway's own", wire.Request, wire.Answer{Reading: says("4").Reading, Fault: &wire.Fault{Cause: "account_trouble"}}, ""},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			a := new(Suspension)
			a.Observe(tt.operation, tt.answer)
			if got := blocked(a); got != tt.want {
				t.Errorf("blocked: %q, want %q", got, tt.want)
			}
			_, inTrouble := a.Status()
			if inTrouble != (tt.want != "") {
				t.Errorf("Status() = %v", inTrouble)
			}
		})
	}
}

func TestAccountClears(t *testing.T) {
	tests := []struct {
		name      string
		trouble   wire.Status
		operation wire.Operation
		answer    wire.Answer
		want      wire.Status
	}{
		{"4, a check succeeds", "4", wire.Check, fine, ""},
		{"4, a check with a wrong code", "4", wire.Check, wrongCode, ""},
		{"4, a search", "4", wire.Search, unused, ""},
		{"4, a search that finds", "4", wire.Search, says(wire.Expired), ""},
		{"4, HTTP 404", "4", wire.Check, refusedBy(404), "4"},
		{"8, a request succeeds", "8", wire.Request, fine, ""},
		{"8, a control succeeds", "8", wire.Control, fine, ""},
		{"8, a check succeeds", "8", wire.Check, fine, "8"}, // neither is refused for it
		{"8, a search", "8", wire.Search, unused, "8"},
		{"8, a request with an invalid parameter", "8", wire.Request, says(wire.Invalid), "8"},
		{"4, throttled", "4", wire.Check, busy, "4"},
		{"4, internal error", "4", wire.Check, broken, "4"},
		{"4, a timeout", "4", wire.Check, timeout, "4"},
		{"4, an invalid parameter", "4", wire.Check, says(wire.Invalid), "4"},
		{"4, a missing parameter", "4", wire.Check, says(wire.Missing), "4"},
		{"4, a refusal of the gateway", "4", wire.Check, fails(wire.MissingParameter), "4"},
		{"4, then 8", "4", wire.Check, says("8"), "8"},
		{"9, a request succeeds", "9", wire.Request, fine, ""},
		{"9, a check succeeds", "9", wire.Check, fine, "9"},
		{"9, a request to a wrong number", "9", wire.Request, says(wire.UnsupportedNetwork), "9"},
		{"9, then 4", "9", wire.Check, says("4"), "4"},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			a := new(Suspension)
			a.Observe(wire.Request, says(tt.trouble))
			a.Observe(tt.operation, tt.answer)
			if got, _ := a.Status(); got != tt.want {
				t.Errorf("the trouble is %q, want %q", got, tt.want)
			}
		})
	}
}

// tell makes a call of an account for each answer, one after the other, and returns
// how many were let through.
func (a *accountTest) tell(o wire.Operation, answers ...wire.Answer) (through int) {
	for _, answer := range answers {
		if trial, _, _, ok := a.Allow("", o); ok {
			a.Observe(o, answer)
			trial.Done(&answer)
			through++
		}
	}
	return through
}

// accountTest is a Suspension whose own searches are answered with found, each after
// a second.
type accountTest struct {
	*Suspension
	mu       sync.Mutex
	found    wire.Answer
	searches []time.Duration // when they began
	changes  []Change
	stop     func()
}

func newAccountTest(found wire.Answer) *accountTest {
	a := &accountTest{Suspension: new(Suspension), found: found}
	begun := time.Now()
	stopChanges := a.OnChange(func(c Change) {
		a.Status() // a listener may use it
		a.changes = append(a.changes, c)
	})
	stopSearch := a.ProbeWith(func(ctx context.Context) wire.Answer {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.searches = append(a.searches, time.Since(begun))
		time.Sleep(time.Second)
		return a.found
	})
	a.stop = func() {
		stopChanges()
		stopSearch()
	}
	return a
}

// wait lets time pass, and what is due be done.
func (a *accountTest) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (a *accountTest) expect(t *testing.T, searches []time.Duration, changes ...Change) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.searches, searches) {
		t.Errorf("searches after %v, want %v", a.searches, searches)
	}
	if !slices.Equal(a.changes, changes) {
		t.Errorf("changes %v, want %v", a.changes, changes)
	}
}

// TestAccountSuspicion has one caller's call be answered with 401 or 403. Nobody
// else is refused before the gateway's own search has met it, too.
func TestAccountSuspicion(t *testing.T) {
	unauthorized := fails(wire.UpstreamUnauthorized)
	bubble(t, "it was the call", func(t *testing.T) {
		a := newAccountTest(unused)
		defer a.stop()
		for range 100 { // of an attacker, ten a second
			if n := a.tell(wire.Request, unauthorized, fine); n != 2 {
				t.Fatalf("%d of 2 calls were let through", n)
			}
			a.wait(100 * time.Millisecond)
		}
		a.expect(t, []time.Duration{0, 6 * time.Second})
	})
	bubble(t, "it was the account", func(t *testing.T) {
		a := newAccountTest(unauthorized)
		defer a.stop()
		a.tell(wire.Check, unauthorized)
		a.wait(time.Second - 1)
		if n := a.tell(wire.Search, fine); n != 1 {
			t.Error("a call was refused before the search was answered")
		}
		a.wait(1)
		if got, want := blocked(a.Suspension), "request 4, search 4, control 4, psd2 4"; got != want {
			t.Errorf("blocked: %q, want %q", got, want)
		}
		a.expect(t, []time.Duration{0}, Change{"", "4"})
	})
	bubble(t, "by an answer of the API", func(t *testing.T) {
		a := newAccountTest(says("4"))
		defer a.stop()
		a.tell(wire.Check, unauthorized)
		a.wait(time.Second)
		a.expect(t, []time.Duration{0}, Change{"", "4"})
	})
	bubble(t, "a search that says nothing", func(t *testing.T) {
		a := newAccountTest(timeout)
		defer a.stop()
		a.tell(wire.Check, unauthorized)
		a.wait(time.Minute)
		a.expect(t, []time.Duration{0})
		a.tell(wire.Check, unauthorized)
		a.wait(time.Minute)
		a.expect(t, []time.Duration{0, time.Minute})
	})
	bubble(t, "while there is trouble it does not prolong it", func(t *testing.T) {
		a := newAccountTest(unused)
		defer a.stop()
		a.tell(wire.Request, says("4"))
		for range 29 {
			a.wait(time.Second)
			a.tell(wire.Check, unauthorized)
		}
		a.wait(2 * time.Second)
		a.expect(t, []time.Duration{30 * time.Second}, Change{"", "4"}, Change{"4", ""})
	})
	bubble(t, "without credit", func(t *testing.T) {
		a := newAccountTest(unauthorized)
		defer a.stop()
		a.tell(wire.Request, says("9"))
		a.tell(wire.Check, unauthorized)
		a.wait(time.Second)
		a.expect(t, []time.Duration{0}, Change{"", "9"}, Change{"9", "4"})
	})
}

// TestAccountSearches shows how the gateway finds out by itself that its credentials
// are accepted again, with no call from anyone.
func TestAccountSearches(t *testing.T) {
	bubble(t, "refused twice more", func(t *testing.T) {
		a := newAccountTest(says("4"))
		defer a.stop()
		a.tell(wire.Request, says("4"))
		a.wait(75 * time.Second)
		a.mu.Lock()
		a.found = unused
		a.mu.Unlock()
		a.wait(18*time.Second - 1)
		if _, status, retryAfter, ok := a.Allow("", wire.Request); ok || status != "4" || retryAfter != time.Second {
			t.Errorf("while the search is under way: %q, %v, %t", status, retryAfter, ok)
		}
		a.wait(1)
		a.expect(t, []time.Duration{30 * time.Second, 61 * time.Second, 92 * time.Second}, Change{"", "4"}, Change{"4", ""})
	})
	// A test server may know no searches: then calls find out.
	bubble(t, "a search that says nothing", func(t *testing.T) {
		a := newAccountTest(refusedBy(404))
		defer a.stop()
		a.tell(wire.Request, says("4"))
		a.wait(31 * time.Second)
		if n := a.tell(wire.Request, timeout, timeout); n != 2 {
			t.Errorf("%d calls of 2 were let through", n)
		}
		a.wait(6 * time.Second)
		if n := a.tell(wire.Request, fine); n != 1 {
			t.Error("no call was let through")
		}
		a.wait(time.Minute)
		a.expect(t, []time.Duration{30 * time.Second, 36 * time.Second}, Change{"", "4"}, Change{"4", ""})
	})
	bubble(t, "not for other troubles", func(t *testing.T) {
		a := newAccountTest(unused)
		defer a.stop()
		a.tell(wire.Request, says("4"), says("8"))
		a.Observe(wire.Check, says("8"))
		a.wait(time.Hour)
		a.expect(t, nil, Change{"", "4"}, Change{"4", "8"})
	})
	bubble(t, "it is stopped", func(t *testing.T) {
		a := newAccountTest(unused)
		a.tell(wire.Request, says("4"))
		a.stop()
		a.wait(time.Hour)
		a.expect(t, nil, Change{"", "4"})
	})
}

// TestAccountTrials shows how many calls are let through to find out.
func TestAccountTrials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountTest(unused)
		defer a.stop()
		a.tell(wire.Request, says("9"))
		a.wait(10 * time.Second)
		if _, status, retryAfter, ok := a.Allow("", wire.Request); ok || status != "9" || retryAfter != 20*time.Second {
			t.Errorf("Allow() = %q, %v, %t; want 9 for another 20s", status, retryAfter, ok)
		}
		a.wait(20 * time.Second)

		allow := func(want bool) Trial {
			t.Helper()
			trial, _, _, ok := a.Allow("", wire.Request)
			if ok != want {
				t.Fatalf("let through: %t, want %t", ok, want)
			}
			return trial
		}
		lost := allow(true) // whose answer is not heard of
		allow(false)
		a.wait(time.Second - 1)
		allow(false)
		a.wait(1)
		second := allow(true)
		allow(false)
		second.Done(&timeout) // says nothing: nor does one that was not made at all
		allow(false)          // the first is still under way
		lost.Done(&timeout)
		third := allow(true)
		allow(false)
		third.Done(&busy)
		fourth := allow(true)
		invalid := says(wire.Invalid)
		fourth.Done(&invalid) // credit was not looked at: one more may be under way
		late, refused := allow(true), allow(true)
		allow(false)

		noCredit := says("9")
		a.Observe(wire.Request, noCredit)
		refused.Done(&noCredit)
		late.Done(&invalid) // too late to say anything
		a.wait(30*time.Second - 1)
		allow(false)
		a.wait(1)
		last := allow(true)
		allow(false)
		a.Observe(wire.Request, fine)
		last.Done(&fine)
		allow(true)
		allow(true)
		a.expect(t, nil, Change{"", "9"}, Change{"9", ""})
	})
}

// TestAccountFlood has a caller send requests that are wrong anyway, far more than
// one at a time, to an account whose credit is back. Another caller's gets through.
func TestAccountFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccountTest(unused)
		defer a.stop()
		a.tell(wire.Request, says("9"))
		a.wait(30 * time.Second)
		call := func(answer wire.Answer) bool {
			trial, _, _, ok := a.Allow("", wire.Request)
			if ok {
				time.Sleep(100 * time.Millisecond)
				a.Observe(wire.Request, answer)
				trial.Done(&answer)
			}
			return ok
		}
		begun := time.Now()
		stop := make(chan struct{})
		var flood sync.WaitGroup
		for range 100 {
			flood.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Millisecond):
						call(says(wire.Invalid))
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // the flood is first
		for !call(fine) {
			time.Sleep(time.Second)
		}
		close(stop)
		flood.Wait()
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the first honest request got through after %v", took)
		}
		a.expect(t, nil, Change{"", "9"}, Change{"9", ""})
	})
}

// TestAccountIdle shows that time alone ends no trouble: a metric stays true.
func TestAccountIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := new(Suspension)
		a.Observe(wire.Request, says("4"))
		time.Sleep(time.Hour)
		if status, _ := a.Status(); status != "4" {
			t.Errorf("the trouble is %q, want 4", status)
		}
	})
}
