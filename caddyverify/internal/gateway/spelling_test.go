package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
)

// TestIsolationOfSpellings asks for another's verification in the ways in which its request_id can be written, of a
// provider that takes them all for the same.
func TestIsolationOfSpellings(t *testing.T) {
	const id = "e738524c55459f2f109cbd3f1f427b97"
	upper := strings.ToUpper(id)
	for _, spelled := range []string{id, upper, "e738524c-5545-9f2f-109c-bd3f1f427b97", upper[:8] + "-" + upper[8:], id + "-"} {
		for path, more := range map[string]url.Values{
			"search/json":  {"request_id": {spelled}},
			"search/xml":   {"request_ids": {spelled, "0123456789abcdef0123456789abcdef"}},
			"check/json":   {"request_id": {spelled}, "code": {"1234"}},
			"control/json": {"request_id": {spelled}, "cmd": {"cancel"}},
		} {
			t.Run(path+" "+spelled, func(t *testing.T) {
				a := newAccount(t)
				a.ledger.Observe(startedBy("login", id))
				reached := false
				g := newGateway(t, a, provider(func(r *http.Request) (int, string) {
					_ = r.ParseForm()
					for _, asked := range append(r.Form["request_id"], r.Form["request_ids"]...) {
						reached = reached || strings.EqualFold(strings.ReplaceAll(asked, "-", ""), id)
					}
					return http.StatusOK, `{"status":"101","error_text":"No response found."}`
				}), "https://provider.example")
				isolated := &caller.Caller{Name: "checkout", Isolated: true}
				g.Caller = func(*http.Request) (*caller.Caller, bool) { return isolated, true }
				r := httptest.NewRequest(http.MethodPost, "/verify/"+path, strings.NewReader(more.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				w := httptest.NewRecorder()
				g.ServeHTTP(w, r)
				if reached {
					t.Errorf("another's verification was asked for; the answer is %s", w.Body)
				}
			})
		}
	}
}
