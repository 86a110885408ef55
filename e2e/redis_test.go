//go:build e2e

package e2e

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// redisServer is a redis-server of a test's own, with nothing of it on disk.
type redisServer struct {
	t       *testing.T
	address string
	args    []string
	cmd     *exec.Cmd
	output  output
}

func startRedis(t *testing.T, args ...string) *redisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("there is no redis-server; install Debian's package of that name")
	}
	s := &redisServer{t: t, address: freeAddress(t), args: args}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *redisServer) start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", append([]string{
		"--bind", "127.0.0.1", "--port", portOf(s.address), "--save", "", "--dir", s.t.TempDir(), "--repl-diskless-sync-delay", "0",
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for until := time.Now().Add(patience); !strings.Contains(s.ask("PING"), "PONG"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatalf("redis-server does not answer:\n%s", s.output.String())
		}
	}
}

// ask sends a command of words without blanks, and returns what comes within a moment.
func (s *redisServer) ask(command string) string {
	conn, err := net.DialTimeout("tcp", s.address, time.Second)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	io.WriteString(conn, command+"\r\nQUIT\r\n")
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func (s *redisServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *redisServer) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *redisServer) hang()   { s.signal(syscall.SIGSTOP) }
func (s *redisServer) resume() { s.signal(syscall.SIGCONT) }

// link is the way from the gateways to a server, which can be bad.
type link struct {
	address string

	mu     sync.Mutex
	target string
	delay  time.Duration
	mute   bool
	conns  map[*linked]bool
}

// linked is one connection over a link.
type linked struct {
	client, server net.Conn
	mute           bool
}

func startLink(t *testing.T, target string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: listener.Addr().String(), target: target, conns: map[*linked]bool{}}
	t.Cleanup(func() {
		listener.Close()
		l.cut()
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.carry(conn)
		}
	}()
	return l
}

func (l *link) carry(client net.Conn) {
	defer client.Close()
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	server, err := net.DialTimeout("tcp", target, time.Second)
	if err != nil {
		return
	}
	defer server.Close()
	c := &linked{client: client, server: server}
	l.mu.Lock()
	c.mute = l.mute
	l.conns[c] = true
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
	}()
	go l.pump(c, server, client)
	l.pump(c, client, server)
}

// pump takes what comes over to the other side, later if the link is slow, or never.
func (l *link) pump(c *linked, to, from net.Conn) {
	defer to.Close()
	type piece struct {
		due  time.Time
		text []byte
	}
	way := make(chan piece, 100_000)
	defer close(way)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.text); err != nil {
				from.Close()
			}
		}
	}()
	for {
		text := make([]byte, 16<<10)
		n, err := from.Read(text)
		l.mu.Lock()
		mute, due := c.mute, time.Now().Add(l.delay)
		l.mu.Unlock()
		if n > 0 && !mute {
			way <- piece{due, text[:n]}
		}
		if err != nil {
			return
		}
	}
}

// slow has all that comes from now on arrive later.
func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delay = delay
}

// swallow has all connections, and those that are made until heal, carry nothing any more: nobody is told.
func (l *link) swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute = true
	for c := range l.conns {
		c.mute = true
	}
}

// heal has new connections be good ones.
func (l *link) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mute, l.delay = false, 0
}

// lead has new connections lead elsewhere, and ends the others.
func (l *link) lead(target string) {
	l.mu.Lock()
	l.target = target
	l.mu.Unlock()
	l.cut()
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.client.Close()
		c.server.Close()
	}
}
