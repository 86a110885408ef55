//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for another process before it gives up.
const patience = time.Minute

var scratch string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if scratch, err = os.MkdirTemp("", "caddy-verify-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(scratch)
		return m.Run()
	}())
}

// binary is the Caddy under test, built once for all the tests unless E2E_CADDY names one.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("E2E_CADDY"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(scratch, "caddy")
	build := exec.Command("go", "build", "-o", path, "./cmd/caddy")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cmd/caddy: %w\n%s", err, out)
	}
	return path, nil
})

// process is one Caddy, stopped with the test that started it.
type process struct {
	cmd    *exec.Cmd
	output output
	exited chan struct{}
	err    error // what it exited with, once it has
}

// start runs Caddy with its state in a folder of the test's own.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	p := &process{cmd: exec.Command(path, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "HOME="+state, "XDG_DATA_HOME="+state, "XDG_CONFIG_HOME="+state)
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("caddy %q said:\n%s", args, p.output.String())
		}
	})
	return p
}

// startCaddyfile runs Caddy with a Caddyfile and waits until it listens on all the addresses.
func startCaddyfile(t *testing.T, env []string, caddyfile string, addresses ...string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(path, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, env, "run", "--config", path, "--adapter", "caddyfile")
	for _, address := range addresses {
		p.listening(t, address)
	}
	return p
}

// listening waits until the process takes connections on an address.
func (p *process) listening(t *testing.T, address string) {
	t.Helper()
	p.await(t, "listening on "+address, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// says waits until the process has printed a match and returns it with its groups.
func (p *process) says(t *testing.T, pattern *regexp.Regexp) []string {
	t.Helper()
	var match []string
	p.await(t, fmt.Sprintf("printing %q", pattern), func() bool {
		match = pattern.FindStringSubmatch(p.output.String())
		return match != nil
	})
	return match
}

func (p *process) await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	tooLate := time.After(patience)
	for !happened() {
		select {
		case <-tick.C:
		case <-p.exited:
			t.Fatalf("caddy exited before %s: %v", what, p.err)
		case <-tooLate:
			t.Fatalf("caddy is not %s after %s", what, patience)
		}
	}
}

// interrupt stops the process as Ctrl-C does and wants it to end well.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("caddy exited with %v, interrupted", p.err)
		}
	case <-time.After(patience):
		t.Errorf("caddy still runs %s after an interrupt", patience)
	}
}

// output keeps what a process prints, readable while it prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// given are the addresses that freeAddress has returned.
var given sync.Map

// freeAddress returns a loopback address that nothing listens on, and that hardly anybody takes before the test's own process
// does: the kernel gives these ports to nobody who asks for any (net.ipv4.ip_local_port_range), as other tests do.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, again := given.LoadOrStore(address, true); again {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
