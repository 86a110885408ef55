package redis

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// server is a redis-server of a test's own.
type server struct {
	t    testing.TB
	port string
	args []string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// serverPath is the program that serves: redis-server, or what VERIFY_TEST_SERVER names, such
// as a valkey-server.
func serverPath() string { return cmp.Or(os.Getenv("VERIFY_TEST_SERVER"), "redis-server") }

// newServer starts one, with nothing of it on disk. Where there is none to start, the test is
// skipped, or fails with the tag e2e.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath(serverPath()); err != nil {
		if mustHaveServer {
			t.Fatal("there is no redis-server; install Debian's package of that name")
		}
		t.Skip("there is no redis-server")
	}
	s := &server{t: t, args: append([]string{"--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)}
	for range 5 {
		s.port = freePort(t)
		if s.start() {
			t.Cleanup(func() { s.kill() })
			return s
		}
	}
	t.Fatalf("redis-server does not start:\n%s", s.out.String())
	return nil
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// start tells whether the server answers.
func (s *server) start() bool {
	s.out.Reset()
	s.cmd = exec.Command(serverPath(), append(s.args, "--port", s.port)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 500 {
		if conn, err := net.Dial("tcp", s.address()); err == nil {
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(time.Second))
			fmt.Fprint(conn, "INFO server\r\n")
			answer := make([]byte, 4096)
			n, _ := conn.Read(answer)
			if n > 0 && (bytes.Contains(answer[:n], fmt.Appendf(nil, "process_id:%d\r", s.cmd.Process.Pid)) || bytes.HasPrefix(answer, []byte("-NOAUTH"))) {
				return true
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	return false
}

func (s *server) address() string { return "127.0.0.1:" + s.port }

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) hang()   { s.signal(syscall.SIGSTOP) }
func (s *server) resume() { s.signal(syscall.SIGCONT) }

// restart brings the server back with nothing in it.
func (s *server) restart() {
	s.t.Helper()
	for range 5 { // another's connection may have the port for a while
		if s.start() {
			return
		}
	}
	s.t.Fatalf("redis-server does not come back:\n%s", s.out.String())
}

// dial returns a client that is connected.
func (s *server) dial() *client {
	s.t.Helper()
	return dialTest(s.t, options{addresses: []string{s.address()}, prefix: "verify"})
}

// patient is dial, for tests of what the server does, however long it takes.
func (s *server) patient() *client {
	s.t.Helper()
	return dialTest(s.t, options{addresses: []string{s.address()}, prefix: "verify", patient: true})
}

func dialTest(t testing.TB, o options) *client {
	t.Helper()
	c := dial(o)
	t.Cleanup(c.close)
	var err error
	for start := time.Now(); time.Since(start) < back; time.Sleep(5 * time.Millisecond) {
		if _, err = c.open("dial", "test").Look(t.Context(), store.Name{Kind: store.Verification, ID: "dial"}, "test"); err == nil {
			return c
		}
	}
	t.Fatalf("no connection: %v", err)
	return nil
}

// admin is a connection for commands of tests.
func (s *server) admin() rueidis.Client {
	s.t.Helper()
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.address()}, DisableCache: true})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// gateway is a store as gateways use it, which beats.
func gateway(t *testing.T, c *client, name string) *store.Shared {
	t.Helper()
	k, err := store.NewKeys("account", encryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	s := store.NewShared(c.open(k.Account(), name), k)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

const encryptionKey = "a key of thirty-two characters, or more"

// eventually waits until something is so.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > within {
			t.Fatalf("after %v: not yet %s", within, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

// listenMute is the address of a server that accepts and says nothing.
func listenMute(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}
