package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// broken counts the invariants that an account tells of.
func broken(a *Account) map[wire.Invariant]int {
	all := map[wire.Invariant]int{}
	a.Subscribe(func(e Event) {
		if d, ok := e.Detail.(InvariantBroken); ok {
			all[d.Invariant]++
		}
	})
	return all
}

// TestSecondSendIsHeldBack has a step make every call twice, whatever came of the first.
func TestSecondSendIsHeldBack(t *testing.T) {
	refused := (&wire.Fault{Cause: wire.ConnectFailed}).Answer()
	lost := (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer()
	unknown := (&wire.Fault{Cause: wire.UpstreamError, MayHaveSent: true, MethodUnknown: true}).Answer()
	answered := wire.Answer{Code: http.StatusOK}
	for _, tt := range []struct {
		name  string
		o     wire.Operation
		first wire.Answer
		sent  int
	}{
		{"a request that was answered", wire.Request, answered, 1},
		{"a check that was answered", wire.Check, answered, 1},
		{"a control that was lost", wire.Control, lost, 1},
		{"a request that did not get out", wire.Request, refused, 2},
		{"a check by a method that is not known", wire.Check, unknown, 2},
		{"a search", wire.Search, answered, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t)
			all := broken(a)
			sent := 0
			send := a.oneDelivery(func(context.Context, *wire.Call) wire.Answer {
				sent++
				return tt.first
			})
			ctx := withOnceOnly(t.Context())
			send(ctx, &wire.Call{Operation: tt.o})
			answer := send(ctx, &wire.Call{Operation: tt.o})
			if sent != tt.sent || all[wire.OneDelivery] != 2-tt.sent {
				t.Errorf("it was sent %d times, want %d; told of: %v", sent, tt.sent, all)
			}
			if held := answer.Fault != nil && answer.Fault.Cause == wire.InvariantBroken; held != (tt.sent == 1) {
				t.Errorf("answered with %+v", answer.Fault)
			}
			send(withOnceOnly(t.Context()), &wire.Call{Operation: tt.o})
			if sent != tt.sent+1 {
				t.Error("another call was held back")
			}
		})
	}
}

// TestOtherSecretIsNoSecondSend: what the provider has refused for its secret may be sent
// with the other one, and with that alone.
func TestOtherSecretIsNoSecondSend(t *testing.T) {
	refused := wire.Answer{Code: http.StatusOK, Reading: wire.Reading{Verification: wire.Verification{Status: wire.BadCredentials}}}
	barred := wire.Answer{Code: http.StatusOK, Reading: wire.Reading{Verification: wire.Verification{Status: wire.AccountBarred}}}
	for _, tt := range []struct {
		name   string
		first  wire.Answer
		second wire.SecretName
		sent   int
	}{
		{"refused, the other", refused, wire.NextSecret, 2},
		{"refused, the same", refused, wire.FirstSecret, 1},
		{"barred, the other", barred, wire.NextSecret, 1},
		{"lost, the other", (&wire.Fault{Cause: wire.ConnectionLost, MayHaveSent: true}).Answer(), wire.NextSecret, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAccount(t)
			sent := 0
			send := a.oneDelivery(func(context.Context, *wire.Call) wire.Answer {
				if sent++; sent == 1 {
					return tt.first
				}
				return wire.Answer{Code: http.StatusOK}
			})
			ctx := withOnceOnly(t.Context())
			for _, secret := range []wire.SecretName{"", tt.second, tt.second} {
				send(wire.WithAttempt(ctx, wire.Attempt{Secret: secret}), &wire.Call{Operation: wire.Request})
			}
			if sent != tt.sent {
				t.Errorf("it was sent %d times, want %d", sent, tt.sent)
			}
		})
	}
}

// TestSecretIsHeldBack has an answer with the secret come as far as the client.
func TestSecretIsHeldBack(t *testing.T) {
	a := newAccount(t)
	all := broken(a)
	g := newGateway(t, a, direct(newSandbox(t)), "https://provider.example")
	for body, held := range map[string]bool{`{"status":"0","error_text":"` + testSecret + `"}`: true, `{"status":"0"}`: false} {
		x := exchange{operation: wire.Check, answer: wire.Answer{Code: http.StatusOK, Body: []byte(body)}}
		g.keepSecret(&x)
		if got := string(x.answer.Body); strings.Contains(got, testSecret) || strings.Contains(got, "invariant_broken") != held {
			t.Errorf("the client reads %s in place of %s", got, body)
		}
	}
	if all[wire.SecretKept] != 1 {
		t.Errorf("told of: %v", all)
	}
}

// TestOtherAccountsSecretIsHeldBack: an answer has no secret of the account that stands in, either.
func TestOtherAccountsSecretIsHeldBack(t *testing.T) {
	const otherSecret = "an0ther-accounts-secret"
	g := newGateway(t, newAccount(t), direct(newSandbox(t)), "https://provider.example")
	other := newGateway(t, newAccount(t), direct(newSandbox(t)), "https://backup.example")
	if err := other.Use(upstream.NewSecret(otherSecret), upstream.Secret{}); err != nil {
		t.Fatal(err)
	}
	all := broken(other.Account)
	x := exchange{operation: wire.Check, answer: wire.Answer{Code: http.StatusOK, Body: []byte(`{"status":"0","error_text":"` + otherSecret + `"}`)}}
	g.FailOver(other)
	g.keepSecret(&x)
	if strings.Contains(string(x.answer.Body), otherSecret) || all[wire.SecretKept] != 1 {
		t.Errorf("the client reads %s, and %v are counted", x.answer.Body, all)
	}
}
