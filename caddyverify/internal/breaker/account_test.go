package breaker

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// blocked lists the operations that fail fast.
func blocked(a *Account) string {
	var words []string
	for _, o := range wire.Operations {
		if status, _, is := a.Check(o); is {
			words = append(words, o.String()+" "+string(status))
		}
	}
	return strings.Join(words, ", ")
}

func TestAccountBlocks(t *testing.T) {
	all := func(s string) string { return fmt.Sprintf("request %s, search %[1]s, control %[1]s", s) }
	tests := []struct {
		name      string
		operation wire.Operation
		answer    wire.Answer
		want      string
	}{
		{"success", wire.Request, fine, ""},
		{"bad credentials", wire.Request, says("4"), all("4")},
		{"bad credentials, by a check", wire.Check, says("4"), all("4")},
		{"HTTP 401", wire.Search, fails(wire.UpstreamUnauthorized), all("4")},
		{"barred", wire.Control, says("8"), all("8")},
		{"no credit", wire.Request, says("9"), "request 9"},
		{"no credit, not by a request", wire.Control, says("9"), ""},
		{"throttled", wire.Request, busy, ""},
		{"HTTP 500", wire.Request, fails(wire.UpstreamError), ""},
		{"the gateway's own", wire.Request, wire.Answer{Reading: says("4").Reading, Fault: &wire.Fault{Cause: "account_trouble"}}, ""},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			a := new(Account)
			a.Observe(tt.operation, tt.answer)
			if got := blocked(a); got != tt.want {
				t.Errorf("blocked: %q, want %q", got, tt.want)
			}
			_, inTrouble := a.Trouble()
			if inTrouble != (tt.want != "") {
				t.Errorf("Trouble() = %v", inTrouble)
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
		{"8, a probe", "8", wire.Search, unused, ""},
		{"8, a search that finds", "8", wire.Search, says(wire.Expired), ""},
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
			a := new(Account)
			a.Observe(wire.Request, says(tt.trouble))
			a.Observe(tt.operation, tt.answer)
			if got, _ := a.Trouble(); got != tt.want {
				t.Errorf("the trouble is %q, want %q", got, tt.want)
			}
		})
	}
}

// TestAccountInTime shows how often an account in trouble is tried, and that the
// trouble is told once at its beginning and once at its end.
func TestAccountInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := new(Account)
		var changes []AccountChange
		stop := a.OnChange(func(c AccountChange) {
			a.Trouble() // a listener may use it
			changes = append(changes, c)
		})
		defer stop()
		a.Observe(wire.Request, says("8"))
		time.Sleep(10 * time.Second)
		if status, retryAfter, is := a.Check(wire.Request); !is || status != "8" || retryAfter != 20*time.Second {
			t.Errorf("Check() = %q, %v, %v; want 8 for another 20s", status, retryAfter, is)
		}
		time.Sleep(20 * time.Second)

		try := func(want bool) {
			t.Helper()
			if _, _, is := a.Check(wire.Search); is == want {
				t.Fatalf("let through: %v, want %v", !is, want)
			}
		}
		try(true) // one call, whose answer is lost
		try(false)
		time.Sleep(time.Second - 1)
		try(false)
		time.Sleep(time.Nanosecond)
		try(true) // the next, which is refused
		a.Observe(wire.Search, says("8"))
		time.Sleep(30*time.Second - 1)
		try(false)
		time.Sleep(time.Nanosecond)
		try(true)
		a.Observe(wire.Search, unused)
		try(true)
		try(true)
		if want := []AccountChange{{"", "8"}, {"8", ""}}; len(changes) != 2 || changes[0] != want[0] || changes[1] != want[1] {
			t.Errorf("changes %v, want %v", changes, want)
		}
	})
}

// TestAccountIdle shows that time alone ends no trouble: a metric stays true.
func TestAccountIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := new(Account)
		a.Observe(wire.Request, says("4"))
		time.Sleep(time.Hour)
		if status, _ := a.Trouble(); status != "4" {
			t.Errorf("the trouble is %q, want 4", status)
		}
	})
}
