package caddyverify

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestFloodInLog has thousands of calls be refused. The log has a line for the
// first of a cause, and one each ten seconds that counts all others.
func TestFloodInLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: -1}}, sandboxConfig)
		if err := d.api.SetFaults(sandbox.Fault{Operation: "request", Kind: "status", Value: "9"}); err != nil {
			t.Fatal(err)
		}
		d.call(wire.Request, forms[wire.Request])
		logged := logTo(d)
		ask := func(times int, caller string) {
			for range times {
				r := httptest.NewRequest(http.MethodPost, "/verify/json", strings.NewReader(forms[wire.Request]))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				replacer := caddy.NewReplacer()
				replacer.Set("http.auth.user.id", caller)
				_ = d.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithValue(r.Context(), caddy.ReplacerCtxKey, replacer)), nil)
			}
		}
		ask(1000, "shop")
		time.Sleep(5 * time.Second)
		ask(500, "login")
		time.Sleep(6 * time.Second)
		ask(3, "")
		time.Sleep(11 * time.Second)
		first := map[string]any{"msg": "call", "cause": "account_no_credit", "operation": "request"}
		refused := func(calls float64, callers map[string]any) map[string]any {
			line := map[string]any{"msg": "calls refused", "cause": "account_no_credit", "calls": calls, "callers": nil}
			if callers != nil {
				line["callers"] = callers
			}
			return line
		}
		want := []map[string]any{first, refused(1499, map[string]any{"shop": 999.0, "login": 500.0}), refused(3, nil)}
		expectLines(t, logged, "INFO", want...)

		time.Sleep(20 * time.Second)              // the flood is over
		d.call(wire.Request, forms[wire.Request]) // on trial
		if err := d.api.SetFaults(); err != nil {
			t.Fatal(err)
		}
		ask(2, "shop")
		d.close(t) // tells of what was counted
		expectLines(t, logged, "INFO", append(want, first, refused(1, map[string]any{"shop": 1.0}))...)
		if n := strings.Count(logged.text, `"level":"DEBUG"`); n != 1499+3+1 {
			t.Errorf("%d lines at level debug, want one for each call that has none above", n)
		}
	})
}
