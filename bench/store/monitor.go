package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// monitor counts the commands that a store gets, but for those of gateways that do nothing.
type monitor struct {
	conn net.Conn

	mu    sync.Mutex
	own   map[string]bool // the commands of gateways that do nothing
	seen  map[string]bool
	count int
}

func watch(address string) (*monitor, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprint(conn, "MONITOR\r\n"); err != nil {
		conn.Close()
		return nil, err
	}
	m := &monitor{conn: conn, own: map[string]bool{}, seen: map[string]bool{}}
	go m.read()
	return m, nil
}

// read reads lines such as: +1700000000.000001 [0 127.0.0.1:1234] "EVALSHA" "<sha>" …, of which those of scripts have lua
// for the address.
func (m *monitor) read() {
	lines := bufio.NewScanner(m.conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		_, from, ok := strings.Cut(lines.Text(), "[")
		from, command, ok2 := strings.Cut(from, "] ")
		if !ok || !ok2 || strings.HasSuffix(from, "lua") {
			continue
		}
		words := strings.SplitN(command, " ", 3)
		name := strings.ToLower(strings.Join(words[:min(2, len(words))], " "))
		m.mu.Lock()
		m.seen[name] = true
		if !m.own[name] {
			m.count++
		}
		m.mu.Unlock()
	}
}

// learn looks at what gateways ask for that do nothing.
func (m *monitor) learn(during time.Duration) error {
	time.Sleep(during)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) == 0 {
		return fmt.Errorf("the store has got nothing in %s", during)
	}
	m.own, m.seen, m.count = m.seen, map[string]bool{}, 0
	return nil
}

// take tells how many commands came since it was called last.
func (m *monitor) take() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.count
	m.count = 0
	return n
}

func (m *monitor) close() { m.conn.Close() }
