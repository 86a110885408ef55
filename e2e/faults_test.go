//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestFaults takes a few thousand calls over connections that break, stall and drip. The command counts what reached the
// API and what the clients know of it, and fails if a call was delivered twice or a request_id was lost.
func TestFaults(t *testing.T) {
	for _, method := range []string{"auto", "get"} {
		t.Run(method, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, "go", "run", "-C", "bench", "./faults", "-calls", "3000", "-outages", "1", "-method", method)
			command.Dir = ".."
			out, err := command.CombinedOutput()
			t.Logf("%s", out)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestShutdown interrupts Caddy while calls are under way. It ends when they are done: none is cut, and each client that
// waits gets its answer.
func TestShutdown(t *testing.T) {
	u := startUnderWay(t, "")
	u.begin(t)
	if err := u.caddy.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	u.caddy.says(t, regexp.MustCompile("servers shutting down with eternal grace period"))
	u.api.open()
	u.finish(t)
	select {
	case <-u.caddy.exited:
		if u.caddy.err != nil {
			t.Errorf("caddy exited with %v", u.caddy.err)
		}
	case <-time.After(patience):
		t.Fatalf("caddy still runs %s after the last answer", patience)
	}
	if !u.read() {
		t.Error("the gateway did not read an answer")
	}
}

// TestReload replaces the configuration while calls are under way. Besides being finished, what they bring belongs to the
// new configuration: a client that left before the reload and asks again after it gets the answer that it missed.
func TestReload(t *testing.T) {
	u := startUnderWay(t, "")
	u.begin(t)
	u.reload(t)

	// The same request while the first is still under way shares its answer.
	shared := make(chan string, 1)
	go func() { shared <- u.call(context.Background(), u.left[0]) }()

	u.api.open()
	u.finish(t)
	u.caddy.await(t, "done with all answers", u.read)
	started := u.api.Accepted()
	if id, again := field(<-shared, "request_id"), field(u.call(t.Context(), u.left[1]), "request_id"); id == "" || again == "" {
		t.Error("a client that left and asked again after the reload got no request_id")
	} else if u.api.Accepted() != started {
		t.Errorf("%d more messages were sent to clients that asked again", u.api.Accepted()-started)
	}
	u.caddy.interrupt(t)
}

// TestGracePeriod wants Caddy to end when its grace period does, though the API does not answer.
func TestGracePeriod(t *testing.T) {
	u := startUnderWay(t, "grace_period 200ms")
	u.begin(t)
	u.caddy.interrupt(t)
	for range u.begun {
		if done := <-u.api.finished; done.err == nil {
			t.Errorf("a %s was finished, which the API has not answered", done.operation)
		}
	}
}

// underWay is a gateway with calls under way.
type underWay struct {
	api     *heldAPI
	caddy   *process
	address string
	admin   string
	config  string // a file
	options string

	waits, left []heldCall // left: two requests, a check and a control
	before      int        // calls made before them
	begun       int
	answers     chan string // of those that wait
}

type heldCall struct{ path, form string }

func startUnderWay(t *testing.T, options string) *underWay {
	t.Helper()
	u := &underWay{api: startHeldAPI(t), address: freeAddress(t), admin: freeAddress(t), options: options, answers: make(chan string)}
	u.config = filepath.Join(t.TempDir(), "Caddyfile")
	u.write(t, "verify")
	u.caddy = start(t, nil, "run", "--config", u.config, "--adapter", "caddyfile")
	u.caddy.listening(t, u.address)

	request := func(n int) heldCall {
		return heldCall{"/verify/json", fmt.Sprintf("number=4477009006%02d&brand=Acme", n)}
	}
	about := func(n int, path, more string) heldCall {
		u.before++
		return heldCall{path, "request_id=" + field(u.call(t.Context(), request(n)), "request_id") + more}
	}
	u.waits = []heldCall{request(0), about(1, "/verify/check/json", "&code=1234"), about(2, "/verify/control/json", "&cmd=trigger_next_event")}
	u.left = []heldCall{request(3), request(4), about(5, "/verify/check/json", "&code=1234"), about(6, "/verify/control/json", "&cmd=trigger_next_event")}
	return u
}

// write writes the Caddyfile; errors is what differs before and after the reload.
func (u *underWay) write(t *testing.T, errors string) {
	t.Helper()
	text := fmt.Sprintf(`{
		admin %s
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		log {
			level DEBUG
			format json
		}
		%s
	}
	http://%s {
		verify {
			upstream %s
			credentials %s %s
			errors %s
		}
	}
	`, u.admin, u.options, u.address, u.api.server.URL, gatewayKey, gatewaySecret, errors)
	if err := os.WriteFile(u.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (u *underWay) reload(t *testing.T) {
	t.Helper()
	u.write(t, "http")
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state := t.TempDir()
	command := exec.CommandContext(ctx, path, "reload", "--config", u.config, "--adapter", "caddyfile", "--address", u.admin)
	command.Env = append(os.Environ(), "HOME="+state, "XDG_DATA_HOME="+state, "XDG_CONFIG_HOME="+state)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("reloading: %v\n%s", err, out)
	}
}

// begin makes all the calls, and returns when the API has done the work of each, has answered none, and the clients that
// leave have left.
func (u *underWay) begin(t *testing.T) {
	t.Helper()
	u.api.hold()
	leaving, leave := context.WithCancel(t.Context())
	gone := make(chan string)
	for _, call := range u.waits {
		go func() { u.answers <- u.call(t.Context(), call) }()
	}
	for _, call := range u.left {
		go func() { gone <- u.call(leaving, call) }()
	}
	u.begun = len(u.waits) + len(u.left)
	for range u.begun {
		select {
		case <-u.api.entered:
		case <-time.After(patience):
			t.Fatal("a call does not reach the API")
		}
	}
	leave()
	for range u.left {
		if got := <-gone; got != "" {
			t.Fatalf("a client that left got %s", got)
		}
	}
}

// finish wants all the calls that were under way to be finished and answered.
func (u *underWay) finish(t *testing.T) {
	t.Helper()
	for range u.begun {
		select {
		case done := <-u.api.finished:
			if done.err != nil {
				t.Errorf("the gateway cut a %s: %v", done.operation, done.err)
			}
		case <-time.After(patience):
			t.Fatal("a call is not finished")
		}
	}
	for range u.waits {
		if got := <-u.answers; field(got, "status") != "0" {
			t.Errorf("a client that waits got %q", got)
		}
	}
}

// read tells whether the gateway has read all the answers, those for clients that left as well: its log shows it.
func (u *underWay) read() bool {
	return len(answeredCall.FindAllString(u.caddy.output.String(), -1)) == u.before+u.begun
}

var answeredCall = regexp.MustCompile(`"msg":"call",[^\n]*"status":"0","source":"upstream",[^\n]*"delivery":"sent"`)

// call returns the body of an answer, "" if none came.
func (u *underWay) call(ctx context.Context, c heldCall) string {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+u.address+c.path, strings.NewReader(c.form))
	if err != nil {
		return ""
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Close = true
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return string(body)
}

func field(body, name string) string {
	var fields map[string]any
	_ = json.Unmarshal([]byte(body), &fields)
	value, _ := fields[name].(string)
	return value
}

// heldAPI is a sandbox that does the work of each call at once and, while it holds, answers later.
type heldAPI struct {
	*sandbox.Sandbox
	server   *httptest.Server
	gate     chan chan struct{} // holds the gate, which is closed when answers may go
	entered  chan string
	finished chan heldResult
}

// heldResult is how a held call ended; err tells that the gateway did not wait for it.
type heldResult struct {
	operation string
	err       error
}

func startHeldAPI(t *testing.T) *heldAPI {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{APIKey: gatewayKey, APISecret: gatewaySecret, Code: "1234", Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	a := &heldAPI{
		Sandbox: api, gate: make(chan chan struct{}, 1),
		entered: make(chan string, 100), finished: make(chan heldResult, 100),
	}
	opened := make(chan struct{})
	close(opened)
	a.gate <- opened
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	t.Cleanup(a.open)
	return a
}

// hold keeps back all answers from now on until open.
func (a *heldAPI) hold() {
	<-a.gate
	a.gate <- make(chan struct{})
}

func (a *heldAPI) open() {
	gate := <-a.gate
	select {
	case <-gate: // open already
	default:
		close(gate)
	}
	a.gate <- gate
}

func (a *heldAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	gate := <-a.gate
	a.gate <- gate
	select {
	case <-gate:
		a.Sandbox.ServeHTTP(w, r)
		return
	default:
	}
	operation := strings.Trim(strings.TrimSuffix(r.URL.Path, "json"), "/")
	work := httptest.NewRecorder()
	a.Sandbox.ServeHTTP(work, r)
	a.entered <- operation
	select {
	case <-gate:
	case <-r.Context().Done():
		a.finished <- heldResult{operation, r.Context().Err()}
		return
	}
	maps.Copy(w.Header(), work.Header())
	_, err := w.Write(work.Body.Bytes())
	a.finished <- heldResult{operation, errors.Join(err, http.NewResponseController(w).Flush())}
}
