package caddyverify

import (
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// docs/failures.md has one row for each reason, in the order of the list.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Reasons\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []wire.Reason
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(section, -1) {
		rows = append(rows, wire.Reason(row[1]))
	}
	if !slices.Equal(rows, wire.Reasons[:]) {
		t.Errorf("the rows are\n%s, want\n%s", rows, wire.Reasons)
	}
}

// TestTroubleIsLogged reads the line of a call, whatever went wrong, as Caddy's own
// transport has it happen.
func TestTroubleIsLogged(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close() // nobody else is told its port for long
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(refusing.Close)
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	u := newUpstream(t)
	const id = "cc121958d8fb4368aa3bb762bb9a0f74"
	type line = map[string]any
	tests := []struct {
		name      string
		h         Handler
		transport string
		fault     string
		o         wire.Operation
		form      string
		want      line
	}{
		{
			name: "refused", h: Handler{Account: Account{Upstream: "https://" + closed.Addr().String()}}, o: wire.Check, form: forms[wire.Check],
			want: line{"level": "WARN", "cause": "connect_failed", "reason": "refused", "request_id": id, "upstream": closed.Addr().String(), "delivery": nil, "upstream_code": nil},
		},
		{
			name: "no such name", h: Handler{Account: Account{Upstream: "https://gone.invalid"}}, transport: `{"protocol":"http","resolver":{"addresses":["` + closed.Addr().String() + `"]}}`, o: wire.Search, form: "request_ids=" + id + "&request_ids=447911654321",
			want: line{"level": "WARN", "cause": "connect_failed", "reason": "dns", "request_ids": []any{id, "REDACTED"}, "upstream": "gone.invalid"},
		},
		{
			name: "a proxy that refuses", h: Handler{Account: Account{Upstream: "https://api.nexmo.com"}}, transport: `{"protocol":"http","network_proxy":{"from":"url","url":"` + refusing.URL + `"}}`, o: wire.Request, form: forms[wire.Request],
			want: line{"level": "WARN", "cause": "connect_failed", "reason": "proxy_refused", "proxy_code": 403.0, "delivery": nil, "request_id": nil},
		},
		{
			name: "untrusted", h: Handler{Account: Account{Upstream: untrusted.URL}}, o: wire.Control, form: forms[wire.Control],
			want: line{"level": "WARN", "cause": "tls_failed", "reason": "unknown_authority", "delivery": nil},
		},
		{
			name: "a web page", fault: "* html", o: wire.Check, form: forms[wire.Check],
			want: line{"level": "WARN", "cause": "answer_unreadable", "reason": "web_page", "upstream_code": 200.0, "upstream_content_type": "text/html", "upstream_length": 88.0, "delivery": "sent"},
		},
		{
			name: "an error", fault: "* http 503", o: wire.Check, form: forms[wire.Check],
			want: line{"level": "WARN", "cause": "upstream_error", "reason": "web_page", "upstream_code": 503.0},
		},
		{
			name: "throttled", fault: "* http 429", o: wire.Check, form: forms[wire.Check],
			want: line{"level": "INFO", "cause": "upstream_throttled", "reason": nil, "upstream_code": 429.0, "upstream_content_type": "text/plain"},
		},
		{
			name: "the provider's own error", fault: "* status 5", o: wire.Check, form: forms[wire.Check],
			want: line{"level": "WARN", "cause": nil, "status": "5", "request_id": id},
		},
		{name: "throttled by status", fault: "* status 1", o: wire.Check, form: forms[wire.Check], want: line{"level": "INFO", "status": "1"}},
		{name: "the client's", o: wire.Check, form: "code=1", want: line{"level": "DEBUG", "cause": "missing_parameter", "reason": nil, "upstream": nil, "request_id": nil, "delivery": nil}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := test.h
			if h.Upstream == "" {
				h.Upstream = u.URL
			}
			if test.transport != "" {
				h.TransportRaw = []byte(test.transport)
			}
			if u.fail(t); test.fault != "" {
				u.fail(t, test.fault)
			}
			gateway := newGateway(t, &h)
			logged := new(lines)
			h.gateway.Logger = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
			postForm(t, gateway.URL+wire.Path(test.o, wire.JSON), test.form)
			expectLine(t, logged.next(), test.want)
		})
	}
}

func expectLine(t *testing.T, text string, want map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	for name, value := range want {
		is, _ := json.Marshal(got[name])
		if should, _ := json.Marshal(value); string(is) != string(should) {
			t.Errorf("%s is %s, want %s: %s", name, is, should, text)
		}
	}
}

// A call whose time is over before its turn has not been sent, and says so.
func TestTimeOverInTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDirect(t, &Handler{Account: Account{Limit: 5, Timeout: caddy.Duration(100 * time.Millisecond)}}, sandboxConfig)
		defer d.close(t)
		logged := new(lines)
		d.gateway.Logger = slog.New(slog.NewJSONHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
		for range 5 {
			d.call(wire.Check, forms[wire.Check])
		}
		time.Sleep(800 * time.Millisecond) // the second's calls are used up
		logged.reset()
		d.call(wire.Check, forms[wire.Check])
		expectLine(t, logged.next(), map[string]any{
			"level": "WARN", "cause": "upstream_timeout", "reason": "queue", "may_have_been_sent": false, "delivery": nil,
		})
	})
}
