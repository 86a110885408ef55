package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/caller"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/limit"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
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

// anySpelling is a provider of version 1 that takes any spelling of the ids that it has, and answers with its own. asked is the path
// of the last call that was about one of them.
func anySpelling(asked *string, ids ...string) provider {
	return func(r *http.Request) (int, string) {
		form := formOf(r)
		var parts []string
		for _, id := range append(form["request_id"], form["request_ids"]...) {
			if slices.Contains(ids, wire.Spelling(id)) {
				*asked = r.URL.Path
				parts = append(parts, `{"request_id":"`+wire.Spelling(id)+`","status":"IN PROGRESS"}`)
			}
		}
		switch {
		case strings.HasPrefix(r.URL.Path, "/v2/"):
			return http.StatusNotFound, `{"title":"Not Found"}`
		case !strings.Contains(r.URL.Path, "search"):
			return http.StatusOK, `{"status":"6","error_text":"It was not found."}`
		case len(parts) == 0:
			return http.StatusOK, `{"status":"101","error_text":"No response found."}`
		case form.Has("request_ids"):
			return http.StatusOK, `{"verification_requests":[` + strings.Join(parts, ",") + `]}`
		}
		return http.StatusOK, parts[0]
	}
}

// TestAnswersInOtherSpellings searches for verifications by ids in ways in which the provider does not write them. Whatever a list is
// put together of, none gets lost, and each search and check gets to where the verification is.
func TestAnswersInOtherSpellings(t *testing.T) {
	const one, two, three = "e738524c55459f2f109cbd3f1f427b97", "0a0b0c0d0e0f40018002030405060708", "cc121958d8fb4368aa3bb762bb9a0f74"
	for name, gateway := range map[string]func(t *testing.T, settings Settings, asked *string) *Gateway{
		"version 1": func(t *testing.T, s Settings, asked *string) *Gateway {
			a := newAccount(t)
			s.Countries = a.inForce.Load().Countries
			t.Cleanup(a.Configure(&s))
			return newGateway(t, a, anySpelling(asked, one, two, three), "https://provider.example")
		},
		"both versions": func(t *testing.T, s Settings, asked *string) *Gateway {
			a := newAccount(t)
			s.Countries = a.inForce.Load().Countries
			t.Cleanup(a.Configure(&s))
			a.states.Began(t.Context(), two, state.Start{})
			g := newGateway(t, a, anySpelling(asked, one, three), "https://provider.example")
			drained := g.Upstream
			g.V2 = &V2{Drain: &drained}
			if err := g.Use(upstream.NewSecret(testSecret+"2"), upstream.Secret{}); err != nil {
				t.Fatal(err)
			}
			return g
		},
		"two accounts": func(t *testing.T, s Settings, asked *string) *Gateway {
			var all []*Gateway
			for i, ids := range [][]string{{one}, {two, three}} {
				a := newAccount(t)
				s.Countries = a.inForce.Load().Countries
				t.Cleanup(a.Configure(&s))
				all = append(all, newGateway(t, a, anySpelling(asked, ids...), fmt.Sprintf("https://provider-%d.example", i)))
			}
			all[0].FailOver(all[1])
			return all[0]
		},
	} {
		for _, off := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cache off: %t", name, off), func(t *testing.T) {
				var asked string
				g := gateway(t, Settings{CacheOff: off, Limit: limit.Settings{Rate: -1}}, &asked)
				for range 2 {
					list := []string{wire.UUID(three), strings.ToUpper(two), wire.UUID(one)}
					body := call(g, "/verify/search/json", url.Values{"request_ids": list}.Encode())
					reading, err := wire.Read(wire.Search, wire.JSON, []byte(body))
					if err != nil || len(reading.Found) != len(list) {
						t.Fatalf("%v: %s", err, body)
					}
					for i, v := range reading.Found {
						if wire.Spelling(v.RequestID) != wire.Spelling(list[i]) || v.Status != wire.InProgress {
							t.Errorf("number %d is %s, %s", i, v.RequestID, v.Status)
						}
					}
				}
				for _, id := range []string{wire.UUID(three), strings.ToUpper(three)} {
					if body := call(g, "/verify/search/json", "request_id="+id); !strings.Contains(body, "IN PROGRESS") {
						t.Errorf("%s is answered %s", id, body)
					}
					asked = ""
					if call(g, "/verify/check/json", "code=1234&request_id="+id); asked != "/verify/check/json" {
						t.Errorf("a check of %s does not get there", id)
					}
				}
			})
		}
	}
}
