package status

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/history"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

func TestSummary(t *testing.T) {
	now := time.Date(2026, 3, 1, 14, 2, 31, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	rate, p50 := 0.873, 184.4
	for _, test := range []struct {
		name    string
		account Account
		state   State
		want    string
	}{
		{"nothing yet", Account{}, OK, "No verification was started in the last hour."},
		{"as usual", Account{Hour: Window{Started: 200, Ended: 190, SuccessRate: &rate, Upstream: Upstream{P50: &p50}}}, OK, "87 % of the last hour's verifications succeeded; the provider answers in 184 ms."},
		{"begun", Account{Hour: Window{Started: 3, SuccessRate: new(float64)}}, OK, "Started in the last hour: 3; none has ended yet."},
		{"credentials", Account{Troubles: []Trouble{{Status: wire.BadCredentials, Since: ago(time.Minute)}}}, Down, "The provider refuses the account: credentials (4) since 14:01:31 UTC."},
		{"no credit", Account{Troubles: []Trouble{{Status: wire.NoCredit, Since: now}}}, Down, "The provider refuses the account: no credit (9) since 14:02:31 UTC."},
		{
			"requests are stopped",
			Account{Circuits: []Circuit{{Breaker: wire.ReadClass, State: wire.CircuitClosed}, {Breaker: wire.WriteClass, State: wire.CircuitOpen, Why: "connect_failed", Since: ago(40 * time.Second), Until: now.Add(12 * time.Second)}}},
			Down, "Requests and controls are stopped: the provider is in trouble for 40 s (connect_failed). Next try in 12 s.",
		},
		{
			"checks are being tried",
			Account{Circuits: []Circuit{{Breaker: wire.ReadClass, State: wire.CircuitHalfOpen, Why: "status 5", Since: ago(3 * time.Hour)}}},
			Degraded, "Checks and searches are stopped: the provider is in trouble for 3 h (status 5). It is being tried again.",
		},
		{"kept open", Account{Circuits: []Circuit{{Breaker: wire.WriteClass, State: wire.CircuitOpen, Held: true, Since: now}}}, Down, "Requests and controls are stopped by an operator since 14:02:31 UTC."},
		{"throttled", Account{Limit: Limit{Rate: 14, Throttled: true}}, Degraded, "The provider finds the calls too many: 14 a second are made until it does not."},
		{"searches throttled", Account{Limit: Limit{Rate: 28, SearchRate: 3, SearchThrottled: true}}, Degraded, "The provider finds the searches too many: 3 a second are made until it does not."},
	} {
		if state, got := test.account.summary(now, new(history.Point)); state != test.state || got != test.want {
			t.Errorf("%s: %s, %s\nwant %s, %s", test.name, state, got, test.state, test.want)
		}
	}
}

// Calls that fail are told of before a circuit opens.
func TestSummaryOfLateCalls(t *testing.T) {
	for _, test := range []struct {
		sent, failed uint32
		state        State
		want         string
	}{
		{20, 2, OK, "No verification was started in the last hour."},
		{200, 19, OK, "No verification was started in the last hour."},
		{3, 3, Degraded, "3 of the 3 calls that were made to the provider in the last 15 seconds got no answer."},
		{200, 20, Degraded, "20 of the 200 calls that were made to the provider in the last 15 seconds got no answer."},
	} {
		if state, got := new(Account).summary(time.Now(), &history.Point{Sent: test.sent, Failed: test.failed}); state != test.state || got != test.want {
			t.Errorf("%d of %d: %s, %s", test.failed, test.sent, state, got)
		}
	}
}

func TestEventWords(t *testing.T) {
	for _, test := range []struct {
		detail      gateway.Detail
		level, want string
	}{
		{gateway.CircuitChanged{Class: wire.WriteClass, From: wire.CircuitClosed, To: wire.CircuitOpen, Why: "upstream_timeout", Failures: 12, Outcomes: 20}, "warn", "Requests and controls are stopped (upstream_timeout: 12 of 20 failed)."},
		{gateway.CircuitChanged{Class: wire.ReadClass, From: wire.CircuitOpen, To: wire.CircuitHalfOpen}, "info", "Checks and searches: the provider is being tried."},
		{gateway.CircuitChanged{Class: wire.ReadClass, From: wire.CircuitHalfOpen, To: wire.CircuitClosed, Why: "status 101"}, "info", "Checks and searches are made again (status 101)."},
		{gateway.AccountSuspended{To: wire.AccountBarred}, "warn", "The provider refuses the account: barred (8)."},
		{gateway.AccountSuspended{From: wire.NoCredit}, "info", "The provider takes the account again, which it refused for no credit (9)."},
		{gateway.LimitChanged{From: 28, To: 14, Why: "status 1"}, "warn", "The provider finds the calls too many (status 1): 14 a second from now on, instead of 28."},
		{gateway.LimitChanged{From: 14, To: 28}, "info", "All 28 calls a second may be made again."},
		{gateway.LimitChanged{From: 5, To: 3, Why: "status 1", Searches: true}, "warn", "The provider finds the searches too many (status 1): 3 a second from now on, instead of 5."},
		{gateway.LimitChanged{From: 3, To: 5, Searches: true}, "info", "All 5 searches a second may be made again."},
		{gateway.SecretSwitched{From: wire.FirstSecret, To: wire.NextSecret, Why: wire.SwitchStatus4}, "warn", "The next secret is in use instead of the first, which the provider refuses (status_4)."},
		{gateway.SecretReplaced{}, "info", "A new secret is in use."},
		{gateway.MethodChanged{Operation: wire.Check, Method: "GET", Code: 405}, "warn", "The provider knows no other method for a check than GET (HTTP 405)."},
		{gateway.InvariantBroken{Invariant: wire.OneDelivery}, "error", "The gateway has found a fault of its own and held a call back (one_delivery)."},
		{gateway.ConfigurationInForce{}, "info", "A configuration has come into force."},
		{gateway.GuardChanged{Kind: guard.Blocked, Caller: "shop", Finding: guard.Finding{Rule: guard.RulePerPrefix, Mode: guard.Monitor, Target: "44740012", Count: 10, Most: 10, Window: 10 * time.Minute, Left: time.Hour}}, "warn", "The guard blocks, of caller shop (monitor): per_prefix 44740012: 10 in 10m, at most 10; for another 1h."},
		{gateway.GuardChanged{Kind: guard.Lifted, Finding: guard.Finding{Rule: guard.RuleBlock, Mode: guard.Enforce, Target: "LK"}}, "info", "An operator has lifted (enforce): block LK."},
		{gateway.RecordIncomplete{}, "warn", "Lines of the record of starts are missing: too many lines waited to be written."},
		{gateway.RecordIncomplete{Why: errors.New("no space")}, "warn", "Lines of the record of starts are missing: no space."},
	} {
		event, ok := EventOf(gateway.Event{Account: "cdef@api.nexmo.com", Detail: test.detail})
		if !ok || event.Level != test.level || event.Text != test.want {
			t.Errorf("%T: %v %s %s\nwant %s %s", test.detail, ok, event.Level, event.Text, test.level, test.want)
		}
	}
	if _, ok := EventOf(gateway.Event{Detail: gateway.CallRefused{}}); ok {
		t.Error("each call that is refused is told")
	}
}

// TestEveryEventHasWords has each event that is told be told in a sentence.
func TestEveryEventHasWords(t *testing.T) {
	all := []gateway.Detail{
		gateway.CircuitChanged{},
		gateway.AccountSuspended{},
		gateway.LimitChanged{},
		gateway.MethodChanged{},
		gateway.SecretSwitched{},
		gateway.SecretReplaced{},
		gateway.CallRefused{},
		gateway.CallIsolated{},
		gateway.ConfigurationInForce{},
		gateway.CachePurged{},
		gateway.FailedOver{},
		gateway.GuardFound{},
		gateway.RecordIncomplete{},
		gateway.StoreChanged{},
		gateway.InvariantBroken{},
		gateway.CallRetried{},
		gateway.VerificationStarted{},
		gateway.VerificationFinished{},
		gateway.UntrackedFinished{},
		gateway.CostLearned{},
	}
	for kind := range guard.ChangeKinds() {
		all = append(all, gateway.GuardChanged{Kind: guard.ChangeKind(kind)}) //nolint:gosec // there are few
	}
	known := map[string]bool{}
	for _, detail := range all {
		known[reflect.TypeOf(detail).Name()] = true
		event, told := EventOf(gateway.Event{Detail: detail})
		if told && (event.Text == "" || strings.Contains(event.Text, "gateway.") || strings.HasPrefix(event.Text, " ")) {
			t.Errorf("%T is told as %q", detail, event.Text)
		}
	}
	source, err := os.ReadFile("../gateway/events.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`func \((\w+)\) detail\(\)`).FindAllStringSubmatch(string(source), -1) {
		if !known[name[1]] {
			t.Errorf("%s is not tried here", name[1])
		}
	}
}

// TestWhyItFailed: version 2 also fails what it has blocked, of which nobody has tried a code.
func TestWhyItFailed(t *testing.T) {
	for attempts, want := range map[int]string{0: "It was started 5 s ago and failed.", 3: "It was started 5 s ago and failed: too many wrong codes."} {
		now := time.Now()
		v := Verification{State: string(wire.OutcomeFailed), Begun: now.Add(-5 * time.Second), Attempts: attempts}
		if got := v.summary(now); got != want {
			t.Errorf("after %d attempts: %s", attempts, got)
		}
	}
}
