//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestShutdownFinishesCalls has a client leave over HTTP/2, and SIGTERM come before the
// provider has answered: the verification that the provider begins is seen to its end.
func TestShutdownFinishesCalls(t *testing.T) {
	came, released := make(chan struct{}, 1), make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		<-released
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"request_id":"cc121958d8fb4368aa3bb762bb9a0f74","status":"0"}`))
	}))
	t.Cleanup(func() { release(); upstream.Close() })
	site := freeAddress(t)
	p := startCaddyfile(t, nil, strings.NewReplacer("{site}", site, "{upstream}", upstream.URL).Replace(`{
	admin off
	auto_https off
	debug
	servers {
		protocols h1 h2c
	}
}
http://{site} {
	verify {
		upstream {upstream}
		credentials abcdef01 S3cret-of-the-gateway
	}
}`), site)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-came
		leave()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+site+"/verify/json?number=447700900000&brand=Acme", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := transport.RoundTrip(r); err == nil {
		response.Body.Close()
		t.Fatal("the answer came before the client could leave")
	}
	transport.CloseIdleConnections()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.says(t, regexp.MustCompile(`"msg":"waiting for calls whose clients have left",[^\n]*"calls":1`))
	release()
	<-p.exited
	if p.err != nil {
		t.Errorf("caddy exited with %v", p.err)
	}
	if said := p.output.String(); !regexp.MustCompile(`"msg":"call",[^\n]*"operation":"request","format":"json","status":"0"`).MatchString(said) {
		t.Errorf("the call did not get to its end:\n%s", said)
	}
}
