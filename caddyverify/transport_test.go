package caddyverify

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// The environment's proxy is for other programs: Go reads it once for a process, so
// that the gateway is one of its own.
func TestProxyOfTheEnvironment(t *testing.T) {
	const upstream = "http://upstream.invalid"
	transports := map[string]struct {
		transport string
		proxied   bool
	}{
		"none given":     {"", false},
		"without a word": {`{"protocol":"http","keep_alive":{"enabled":false}}`, false},
		"null":           {`{"protocol":"http","network_proxy":null}`, false},
		"none":           {`{"protocol":"http","network_proxy":{"from":"none"}}`, false},
		"as configured":  {`{"protocol":"http","network_proxy":{"from":"url","url":"{env.HTTP_PROXY}"}}`, true},
		"in the old way": {`{"protocol":"http","forward_proxy_url":"{env.HTTP_PROXY}"}`, true},
	}
	if which := os.Getenv("CADDY_VERIFY_TEST_TRANSPORT"); which != "" {
		h := &Handler{Account: Account{Upstream: upstream, InsecureUpstream: true, Breaker: &Breaker{Off: true}}}
		if raw := transports[which].transport; raw != "" {
			h.TransportRaw = []byte(raw)
		}
		r := httptest.NewRequest(http.MethodPost, "/verify/check/json?request_id=cc121958d8fb4368&code=1234", nil)
		if err := newGatewayWith(t, h).ServeHTTP(httptest.NewRecorder(), r, nil); err != nil {
			t.Fatal(err)
		}
		return
	}
	var calls atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})}
	go func() { _ = proxy.Serve(listener) }()
	t.Cleanup(func() { proxy.Close() })
	for name, test := range transports {
		calls.Store(0)
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		child.Env = append(os.Environ(), "CADDY_VERIFY_TEST_TRANSPORT="+name)
		for _, variable := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			child.Env = append(child.Env, variable+"=http://"+listener.Addr().String())
		}
		child.Env = append(child.Env, "NO_PROXY=", "no_proxy=")
		var output bytes.Buffer
		child.Stdout, child.Stderr = &output, &output
		if err := child.Run(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, output.String())
		}
		if proxied := calls.Load() > 0; proxied != test.proxied {
			t.Errorf("%s: the proxy was used: %v, want %v\n%s", name, proxied, test.proxied, output.String())
		}
	}
}

// The header of an answer has a bound, which can be moved.
func TestHeaderSize(t *testing.T) {
	const body = `{"status":"6","error_text":"x"}`
	for _, test := range []struct {
		size      int
		transport string
		want      string
	}{
		{8 << 10, "", body},
		{20 << 10, "", "answer_unreadable"},
		{20 << 10, `{"protocol":"http","versions":["1.1"]}`, "answer_unreadable"},
		{20 << 10, `{"protocol":"http","max_response_header_size":65536}`, body},
	} {
		url, calls := rawUpstream(t, func(*http.Request) string {
			return rawAnswer(200, "Content-Type: application/json\r\nX-Long: "+strings.Repeat("x", test.size)+"\r\n", body)
		})
		h := &Handler{Account: Account{Upstream: url}}
		if test.transport != "" {
			h.TransportRaw = []byte(test.transport)
		}
		got := postForm(t, newGateway(t, h).URL+wire.Path(wire.Check, wire.JSON), forms[wire.Check])
		if !strings.Contains(got.body, test.want) || calls.Load() != 1 {
			t.Errorf("%d bytes, %s: the client reads %s, after %d calls", test.size, test.transport, got.body, calls.Load())
		}
	}
}

// What a handler that says nothing has, where no other test depends on it.
func TestDefaults(t *testing.T) {
	h := newGatewayWith(t, new(Handler))
	if time.Duration(h.Timeout) != 10*time.Second {
		t.Errorf("timeout is %v", time.Duration(h.Timeout))
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	transport, err := new(Handler).transport(ctx)
	if err != nil {
		t.Fatal(err)
	}
	settings := transport.(caddyTransport)
	if !slices.Equal(settings.Versions, []string{"1.1"}) || settings.Transport.IdleConnTimeout != 30*time.Second {
		t.Errorf("the transport speaks %v and keeps idle connections for %v", settings.Versions, settings.Transport.IdleConnTimeout)
	}
}
