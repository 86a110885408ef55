package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// knowing is a provider of version 1 that knows of one verification, which is over.
func knowing(id string) http.RoundTripper {
	return provider(func(r *http.Request) (int, string) {
		_ = r.ParseForm()
		said := `{"request_id":"` + id + `","account_id":"abcd1234","status":"SUCCESS"}`
		switch {
		case r.Form.Get("request_id") == id:
			return http.StatusOK, said
		case slices.Contains(r.Form["request_ids"], id):
			return http.StatusOK, `{"verification_requests":[` + said + `]}`
		}
		return http.StatusOK, `{"request_id":"","status":"101","error_text":"No response found"}`
	})
}

// TestSearchBehindStoreAway: an account of version 1 is asked as well, whatever the store of the first has to say.
func TestSearchBehindStoreAway(t *testing.T) {
	const old, nobodys = "00000000000000000000000000000004", "00000000000000000000000000000003"
	for _, tt := range []struct{ form, want string }{
		{"request_id=" + old, `"SUCCESS"`},
		{"request_ids=" + old, `"SUCCESS"`},
		{"request_id=" + nobodys, "store_away"},
		{"request_ids=" + old + "&request_ids=" + nobodys, "store_away"},
	} {
		synctest.Test(t, func(t *testing.T) {
			v1 := knowing(old)
			a := newAccount(t)
			a.states.Share(&shelf{Logs: new(store.Memory).Open("a", "here"), away: true})
			g := newGatewayAtV2(t, a, upstream.Config{URL: "https://provider.example", Key: testKey, Secret: newPrivateKey(t), Transport: v1}, nil)
			defer g.Close()
			other := NewAccount("backup.example", "backupk1", observe.NewMetrics(), &Settings{})
			t.Cleanup(other.Close)
			t.Cleanup(other.Configure(&Settings{}))
			backup := newGateway(t, other, v1, "https://backup.example")
			g.chain = []*Gateway{g, backup}
			if body := call(g, "/verify/search/json", tt.form); !strings.Contains(body, tt.want) {
				t.Errorf("%s: want %s in %s", tt.form, tt.want, body)
			}
		})
	}
}

// What another gateway has started is not taken for what nobody has, while the store does not say: at version 2, and
// where version 1 is drained and knows nothing of it.
func TestSearchWhileStoreIsAway(t *testing.T) {
	const here, elsewhere, nobodys = "00000000000000000000000000000001", "00000000000000000000000000000002", "00000000000000000000000000000003"
	const old = "00000000000000000000000000000004" // version 1's
	v1 := knowing(old)
	const single, list = "request_id=", "request_ids="
	for _, tt := range []struct {
		name, form  string
		away        bool
		want        string // of what version 1 knows nothing
		wantDrained string
	}{
		{"here", single + here, true, `"IN PROGRESS"`, `"IN PROGRESS"`},
		{"elsewhere", single + elsewhere, true, "store_away", "store_away"},
		{"elsewhere, with the store", single + elsewhere, false, `"IN PROGRESS"`, `"IN PROGRESS"`},
		{"nobody's", single + nobodys, true, "store_away", "store_away"},
		{"nobody's, with the store", single + nobodys, false, `"101"`, `"101"`},
		{"of version 1", single + old, true, "store_away", `"SUCCESS"`},
		{"a list", list + here + "&" + list + elsewhere, true, "store_away", "store_away"},
		{"a list with the store", list + here + "&" + list + elsewhere, false, elsewhere, elsewhere},
		{"a list of both versions", list + here + "&" + list + old, true, "store_away", old},
		{"a list of version 1", list + old, true, "store_away", old},
		{"a list of what nobody knows", list + old + "&" + list + nobodys, true, "store_away", "store_away"},
	} {
		for _, drained := range []bool{false, true} {
			name, want := tt.name, tt.want
			if drained {
				name, want = name+", drained", tt.wantDrained
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					memory := new(store.Memory)
					other := state.New(state.Settings{})
					other.Share(memory.Open("a", "other"))
					other.Began(t.Context(), elsewhere, state.Start{Number: "447700900001", Channels: []string{"sms"}})
					a := newAccount(t)
					logs := &shelf{Logs: memory.Open("a", "here")}
					a.states.Share(logs)
					a.states.Began(t.Context(), here, state.Start{Number: "447700900000", Channels: []string{"sms"}})
					logs.away = tt.away
					signed := upstream.Config{URL: "https://provider.example", Key: testKey, Secret: newPrivateKey(t), Transport: v1}
					var drain *upstream.Config
					if drained {
						old := ofVersion1(v1)
						drain = &old
					}
					g := newGatewayAtV2(t, a, signed, drain)
					defer g.Close()
					if body := call(g, "/verify/search/json", tt.form); !strings.Contains(body, want) {
						t.Errorf("want %s in %s", want, body)
					}
				})
			})
		}
	}
}
