package gateway

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// guarding is a gateway whose guard has rules.
type guarding struct {
	*Gateway
	sent  []string // the numbers of requests that reached the provider
	found []string
}

func newGuarding(t *testing.T, s guard.Settings) *guarding {
	t.Helper()
	g := new(guarding)
	api := newSandbox(t)
	a := newAccount(t)
	settings := *a.inForce.Load()
	settings.Guard = s
	t.Cleanup(a.Configure(&settings))
	a.Subscribe(func(e Event) {
		switch d := e.Detail.(type) {
		case GuardFound:
			g.found = append(g.found, d.Finding.Mode.String()+" "+d.Finding.String())
		case GuardChanged:
			g.found = append(g.found, d.Kind.String()+" "+d.Finding.Rule.String())
		}
	})
	g.Gateway = newGateway(t, a, provider(func(r *http.Request) (int, string) {
		if r.URL.Path == "/verify/json" {
			_ = r.ParseForm()
			g.sent = append(g.sent, r.Form.Get("number"))
			r.Body = http.NoBody
			r.URL.RawQuery = r.Form.Encode()
		}
		return direct(api)(r)
	}), "https://provider.example")
	return g
}

func (g *guarding) close() {
	g.Gateway.Close()
	g.Account.Close()
}

func (g *guarding) start(number string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/verify/json", strings.NewReader("brand=Acme&number="+number))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	g.ServeHTTP(w, r)
	return w
}

func idIn(answer string) string {
	if found := regexp.MustCompile(`"request_id":"(\w+)"`).FindStringSubmatch(answer); found != nil {
		return found[1]
	}
	return ""
}

func TestGuardRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, guard.Settings{Account: guard.RuleSet{
			Countries:  guard.Countries{Mode: guard.Enforce, Allowed: []string{"GB"}},
			DenyPrefix: guard.DenyPrefix{Mode: guard.Monitor, Denied: []string{"4470"}},
		}})
		defer g.close()
		w := g.start("33612345678")
		if want := `{"status":"15","error_text":"Gateway guard; nothing was sent (caddy-verify: guard_refused)"}` + "\n"; w.Body.String() != want {
			t.Errorf("it reads %s, want %s", w.Body, want)
		}
		if want := `caddy-verify; error=http_request_denied; details="guard_refused: countries"`; w.Header().Get("Proxy-Status") != want {
			t.Errorf("Proxy-Status is %s", w.Header().Get("Proxy-Status"))
		}
		if id := idIn(g.start("447000000000").Body.String()); id == "" {
			t.Error("a rule in monitor has refused")
		}
		synctest.Wait()
		if want := []string{"447000000000"}; !slices.Equal(g.sent, want) {
			t.Errorf("sent: %v", g.sent)
		}
		if want := []string{"enforce countries FR", "monitor deny_prefix 4470"}; !slices.Equal(g.found, want) {
			t.Errorf("found: %q", g.found)
		}
	})
}

// TestGuardOnlyStarts: whatever is refused, what was started is completed.
func TestGuardOnlyStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, guard.Settings{})
		defer g.close()
		id := idIn(g.start("447700900001").Body.String())
		settings := *g.Account.inForce.Load()
		settings.Guard.Account.Countries = guard.Countries{Mode: guard.Enforce, Allowed: []string{"FR"}}
		defer g.Account.Configure(&settings)()
		if w := g.start("447700900002"); !strings.Contains(w.Body.String(), `"15"`) {
			t.Errorf("another start: %s", w.Body)
		}
		for _, answer := range []string{
			call(g.Gateway, "/verify/check/json", "code=9999&request_id="+id),
			call(g.Gateway, "/verify/search/json", "request_id="+id),
			call(g.Gateway, "/verify/check/json", "code="+testCode+"&request_id="+id),
		} {
			if strings.Contains(answer, "guard") {
				t.Error(answer)
			}
		}
	})
}

// TestGuardCoolsDown answers for the provider, with the caller's own verification, until that is over.
func TestGuardCoolsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, guard.Settings{Account: guard.RuleSet{CoolDown: guard.Enforce}})
		defer g.close()
		id := idIn(g.start("447700900001").Body.String())
		time.Sleep(20 * time.Second) // the unread answer is not given again
		for range 3 {
			w := g.start("447700900001")
			if got := w.Body.String(); idIn(got) != id || !strings.Contains(got, `"10"`) {
				t.Errorf("it reads %s", got)
			}
		}
		if len(g.sent) != 2 {
			t.Errorf("the provider was asked %d times", len(g.sent))
		}
		call(g.Gateway, "/verify/check/json", "code="+testCode+"&request_id="+id)
		if again := idIn(g.start("447700900001").Body.String()); again == "" || again == id {
			t.Errorf("after its end it starts %s", again)
		}
	})
}

// TestGuardLearns: verifications that succeed are no attack, those that do not are.
func TestGuardLearns(t *testing.T) {
	for name, verified := range map[string]bool{"users": true, "pumping": false} {
		synctest.Test(t, func(t *testing.T) {
			g := newGuarding(t, guard.Settings{Account: guard.Recommended(guard.Enforce)})
			defer g.close()
			for i := range 100 {
				id := idIn(g.start(fmt.Sprintf("4474001%05d", 23400+i)).Body.String())
				if id != "" && verified {
					call(g.Gateway, "/verify/check/json", "code="+testCode+"&request_id="+id)
				}
				time.Sleep(200 * time.Millisecond)
			}
			synctest.Wait()
			if refused := 100 - len(g.sent); verified && refused > 0 || !verified && refused < 75 {
				t.Errorf("%s: %d refused; %q", name, refused, g.found)
			}
		})
	}
}

// TestGuardNotOfWhatWasNotSent: a start that did not reach the provider is not counted.
func TestGuardNotOfWhatWasNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		settings := *a.inForce.Load()
		settings.Guard.Account.PerNumber = guard.Velocity{Mode: guard.Enforce, Windows: []guard.Window{{Most: 1, Within: time.Hour}}}
		t.Cleanup(a.Configure(&settings))
		status := "3"
		g := newGateway(t, a, provider(func(*http.Request) (int, string) {
			return http.StatusOK, `{"status":"` + status + `","request_id":"abc","error_text":""}`
		}), "https://provider.example")
		for range 5 {
			if got := call(g, "/verify/json", "brand=Acme&number=447700900001"); strings.Contains(got, "guard") {
				t.Error(got)
			}
		}
		status = "0"
		if got := call(g, "/verify/json", "brand=Acme&number=447700900001"); strings.Contains(got, "guard") {
			t.Error(got)
		}
		time.Sleep(20 * time.Second)
		if got := call(g, "/verify/json", "brand=Acme&number=447700900001&lg=de-de"); !strings.Contains(got, "guard") {
			t.Error(got)
		}
		g.Close()
		a.Close()
	})
}

// TestGuardPerAddress: an application may tell whose request it is, and the provider is not told.
func TestGuardPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarding(t, guard.Settings{Account: guard.RuleSet{PerAddress: guard.Velocity{Mode: guard.Enforce, Windows: []guard.Window{{Most: 2, Within: time.Hour}}}}})
		defer g.close()
		for i, want := range []string{"0", "0", "1", "0", "0"} {
			address := "&ip_address=192.0.2.1"
			switch i {
			case 3:
				address = "&ip_address=2001:db8::1"
			case 4:
				address = ""
			}
			if got := g.start(fmt.Sprintf("44770090000%d%s", i, address)).Body.String(); !strings.Contains(got, `"status":"`+want+`"`) {
				t.Errorf("%d: %s", i, got)
			}
		}
	})
}
