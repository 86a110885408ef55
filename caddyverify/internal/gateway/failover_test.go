package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// happening is one of what a model's run is made of.
type happening struct {
	kind    string
	id      int // which verification, of those that there are
	account int
	status  string
	seconds int
}

var happenings = rapid.Custom(func(t *rapid.T) happening {
	return happening{
		kind:    rapid.SampledFrom([]string{"start", "start", "check", "search", "control", "list", "trouble", "wait"}).Draw(t, "kind"),
		id:      rapid.IntRange(0, 99).Draw(t, "id"),
		account: rapid.IntRange(0, 1).Draw(t, "account"),
		status:  rapid.SampledFrom([]string{"", "8", "9"}).Draw(t, "status"),
		seconds: rapid.IntRange(1, 60).Draw(t, "seconds"),
	}
})

// TestFailoverModel draws what happens to two accounts and what applications do meanwhile. Each check, search and
// control is made with the account that started its verification, and no request with both.
func TestFailoverModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		all := rapid.SliceOfN(happenings, 1, 40).Draw(r, "what happens")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			m := newTwoAccounts(t)
			for n, h := range all {
				if problem = m.step(n, h); problem != "" {
					return
				}
			}
		})
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

// twoAccounts is a gateway that fails over, and what a simple model knows of it.
type twoAccounts struct {
	gateway *Gateway
	apis    [2]*sandbox.Sandbox
	refused [2]string      // the status that an account answers requests and controls with; "" for none
	ids     []string       // of the verifications
	at      map[string]int // the account of each
	last    int            // account that the last call was made with
}

func newTwoAccounts(t *testing.T) *twoAccounts {
	m := &twoAccounts{at: map[string]int{}}
	var gateways []*Gateway
	for i := range m.apis {
		m.apis[i] = newSandbox(t)
		send := direct(m.apis[i])
		gateways = append(gateways, newGateway(t, newAccount(t), provider(func(r *http.Request) (int, string) {
			m.last = i
			if m.refused[i] != "" && !strings.Contains(r.URL.Path, "search") && !strings.Contains(r.URL.Path, "check") {
				return http.StatusOK, fmt.Sprintf(`{"status":%q,"error_text":"refused"}`, m.refused[i])
			}
			return send(r)
		}), fmt.Sprintf("https://provider-%d.example", i)))
	}
	m.gateway = gateways[0]
	m.gateway.FailOver(gateways[1])
	return m
}

// step has something happen, and tells what is wrong then.
func (m *twoAccounts) step(n int, h happening) string {
	switch h.kind {
	case "start":
		return m.start(fmt.Sprintf("4477129%05d", n))
	case "trouble":
		m.refused[h.account] = h.status
		return ""
	case "wait":
		time.Sleep(time.Duration(h.seconds) * time.Second)
		return ""
	}
	if len(m.ids) == 0 {
		return ""
	}
	id := m.ids[h.id%len(m.ids)]
	switch h.kind {
	case "check":
		return m.madeAt(id, call(m.gateway, "/verify/check/json", "request_id="+id+"&code=wrong1"))
	case "control":
		return m.madeAt(id, call(m.gateway, "/verify/control/json", "request_id="+id+"&cmd=trigger_next_event"))
	case "search":
		if body := call(m.gateway, "/verify/search/json", "request_id="+id); !strings.Contains(body, `"request_id":"`+id) && !refuses(body) {
			return fmt.Sprintf("%s, started with account %d, is searched for and not found: %s", id, m.at[id], body)
		}
	case "list":
		ids := m.ids[:min(len(m.ids), 10)]
		body := call(m.gateway, "/verify/search/json", url.Values{"request_ids": ids}.Encode())
		for _, id := range ids {
			if strings.Count(body, `"request_id":"`+id) != 1 && !refuses(body) {
				return fmt.Sprintf("a list of %v has %s", ids, body)
			}
		}
	}
	return ""
}

// refuses tells an answer of the gateway's own: barred accounts are not searched, say.
func refuses(body string) bool { return strings.Contains(body, "caddy-verify:") }

// start begins a verification, which one account takes or none.
func (m *twoAccounts) start(number string) string {
	body := call(m.gateway, "/verify/json", "number="+number+"&brand=Acme")
	var answer struct {
		Status    string
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return err.Error()
	}
	begun := 0
	for i, api := range m.apis {
		if _, ok := api.Verification(answer.RequestID); ok {
			m.ids, m.at[answer.RequestID] = append(m.ids, answer.RequestID), i
		}
		for _, v := range api.Verifications() {
			if v.Number == number {
				begun++
			}
		}
	}
	if want := map[bool]int{true: 1}[answer.Status == "0"]; begun != want {
		return fmt.Sprintf("%s is answered with %s, and %d verifications were started", number, body, begun)
	}
	return ""
}

// madeAt wants a call to have been made with the account of its verification, if it was made.
func (m *twoAccounts) madeAt(id, body string) string {
	if !refuses(body) && m.last != m.at[id] {
		return fmt.Sprintf("%s was started with account %d, and a call about it made with account %d: %s", id, m.at[id], m.last, body)
	}
	return ""
}

// TestFailoverInOneMoment: of two requests for the same number the second goes where the first has, though the account is
// refused between their choosing and their being made.
func TestFailoverInOneMoment(t *testing.T) {
	m := newTwoAccounts(t)
	choose := func() (*Gateway, *exchange) {
		call := &wire.Call{Operation: wire.Request, Params: []wire.Param{{Name: "number", Value: "447712900001"}, {Name: "brand", Value: "Acme"}}}
		x := &exchange{operation: wire.Request, call: call, sent: call}
		return m.gateway.forCall(t.Context(), x), x
	}
	first, x := choose()
	first.way.Load().secrets.Observe(wire.Request, wire.Answer{Reading: wire.Reading{Verification: wire.Verification{Status: wire.AccountBarred}}})
	second, y := choose()
	if first != m.gateway || second != first {
		t.Error("they go to two accounts")
	}
	x.end(true)
	y.end(true)
	if third, z := choose(); third == first {
		t.Error("nothing was sent, and a later one does not go to the other account")
	} else {
		z.end(true)
	}
}

// TestSearchOfTwoAccounts: what the memory of the account that was asked first had is not told of an
// answer of the second.
func TestSearchOfTwoAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTwoAccounts(t)
		second := m.gateway.chain[1].Account
		s := *second.inForce.Load()
		s.CacheOff = true
		t.Cleanup(second.Configure(&s))
		for range 2 {
			w := httptest.NewRecorder()
			m.gateway.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/verify/search/json?request_id=0123456789abcdef0123456789abcdef", nil))
			if got := w.Header().Get("Cache-Status"); got != "caddy-verify; fwd=bypass" || w.Header().Get("Age") != "" {
				t.Errorf("%s, Age %q", got, w.Header().Get("Age"))
			}
		}
	})
}
