package floor

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// TestHandler wants the upstream asked once for each verification, and for all
// else every time.
func TestHandler(t *testing.T) {
	var asked []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, secret, _ := r.BasicAuth()
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, strings.Join([]string{r.Method, r.RequestURI, r.Header.Get("Content-Type"), string(body), key, secret}, " "))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, r.RequestURI)
	}))
	defer upstream.Close()
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(caddyfile.NewTestDispenser("floor " + upstream.URL + " key secret")); err != nil {
		t.Fatal(err)
	}
	if err := h.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Cleanup() }) // which cannot fail
	call := func(method, target, body string) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		if body == "" {
			r.Body = http.NoBody // as a server has it
		} else {
			r.Header.Set("Content-Type", "text/plain")
		}
		r.SetBasicAuth("app", "none")
		w := httptest.NewRecorder()
		return w, h.ServeHTTP(w, r, nil)
	}
	for _, test := range []struct {
		method, target, body string
		asked                string // "" for not at all
	}{
		{"GET", "/verify/search/json?request_id=a", "", "GET /verify/search/json?request_id=a   key secret"},
		{"GET", "/verify/search/json?request_id=b", "", "GET /verify/search/json?request_id=b   key secret"},
		{"GET", "/verify/search/json?request_id=a", "", ""},
		{"POST", "/verify/json", "brand=Acme", "POST /verify/json text/plain brand=Acme key secret"},
		{"POST", "/verify/json", "brand=Acme", "POST /verify/json text/plain brand=Acme key secret"},
	} {
		asked = nil
		w, err := call(test.method, test.target, test.body)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(asked, "\n"); got != test.asked {
			t.Errorf("%s: the upstream was asked %q, want %q", test.target, got, test.asked)
		}
		if w.Code != http.StatusAccepted || w.Header().Get("Content-Type") != "application/json" ||
			w.Body.String() != test.target || w.Result().ContentLength != int64(len(test.target)) {
			t.Errorf("%s: %d %v %s", test.target, w.Code, w.Header(), w.Body)
		}
	}
	upstream.Close()
	if _, err := call("POST", "/verify/json", "brand=Acme"); err == nil {
		t.Error("no error without an upstream")
	}
	if _, err := call("GET", "/verify/search/json?request_id=c", ""); err == nil {
		t.Error("no error without an upstream")
	}
	if w, err := call("GET", "/verify/search/json?request_id=a", ""); err != nil || w.Code != http.StatusAccepted {
		t.Error("a hit asks the upstream", err)
	}
}

func TestSyntax(t *testing.T) {
	for _, wrong := range []string{"floor", "floor http://127.0.0.1 key", "floor http://127.0.0.1 key secret more"} {
		if err := new(Handler).UnmarshalCaddyfile(caddyfile.NewTestDispenser(wrong)); err == nil {
			t.Errorf("%s was understood", wrong)
		}
	}
}
