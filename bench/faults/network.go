package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// network carries connections from the gateway to the API, call by call, and does
// harm to some of them. A call that it has begun to pass on is handled by the API
// exactly if all of it was passed on.
type network struct {
	address  string // what the gateway connects to
	upstream string
	draw     func() fault

	mu       sync.Mutex
	listener net.Listener      // nil in an outage
	conns    map[net.Conn]bool // the gateway's; the API's end by themselves, once it has answered
	injected [faults]int
	outages  int
	passed   int                  // calls that the network has seen
	broken   map[string]time.Time // searches that a fault took, and when
	retries  int                  // those that came again at once
	closed   bool
	running  sync.WaitGroup
}

// soon is how long after a fault the same search counts as its retry: the gateway
// waits 250 ms at most.
const soon = 400 * time.Millisecond

func newNetwork(upstream string, draw func() fault) (*network, error) {
	n := &network{upstream: upstream, draw: draw, conns: map[net.Conn]bool{}, broken: map[string]time.Time{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n.address = listener.Addr().String()
	n.listen(listener)
	return n, nil
}

func (n *network) listen(listener net.Listener) {
	n.mu.Lock()
	n.listener = listener
	n.mu.Unlock()
	n.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed
			}
			n.running.Go(func() { n.carry(conn) })
		}
	})
}

// outage resets all of the gateway's connections and lets none be made for a while,
// and until it is noticed: on a busy machine hardly a call is made in that time.
func (n *network) outage(ctx context.Context, d time.Duration, noticed func() bool) error {
	n.mu.Lock()
	n.listener.Close()
	n.listener = nil
	n.outages++
	for conn := range n.conns {
		reset(conn)
	}
	n.mu.Unlock()
	for sleep(ctx, d); ctx.Err() == nil && !noticed(); {
		sleep(ctx, 20*time.Millisecond)
	}
	// Nothing keeps the port for us meanwhile, but hardly anyone else takes it.
	for deadline := time.Now().Add(5 * time.Second); ; sleep(ctx, 10*time.Millisecond) {
		listener, err := net.Listen("tcp", n.address)
		if err == nil {
			n.listen(listener)
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("ending an outage: %w", err)
		}
	}
}

// close ends the gateway's connections, and waits until the API has answered each
// call that was passed on.
func (n *network) close() {
	n.mu.Lock()
	n.closed = true
	if n.listener != nil {
		n.listener.Close()
	}
	for conn := range n.conns {
		conn.Close()
	}
	n.mu.Unlock()
	n.running.Wait()
}

// carry serves one connection of the gateway.
func (n *network) carry(gateway net.Conn) {
	defer gateway.Close()
	api, err := net.Dial("tcp", n.upstream)
	if err != nil {
		return
	}
	defer api.Close()
	if !n.track(gateway) {
		return
	}
	defer n.untrack(gateway)
	r := relay{gateway: gateway.(*net.TCPConn), api: api.(*net.TCPConn)}
	for {
		call, search, err := readCall(gateway)
		if err != nil {
			return // the gateway is done with the connection
		}
		if !r.pass(n.next(call, search), call) {
			return
		}
	}
}

func (n *network) track(gateway net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[gateway] = true
	return !n.closed
}

func (n *network) untrack(gateway net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, gateway)
}

// next draws the fault of a call and notes whether it is a retry.
func (n *network) next(call []byte, search bool) fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.draw()
	if search && f.firewall() {
		f = none
	}
	n.injected[f]++
	n.passed++
	if !search {
		return f
	}
	now := time.Now()
	if at, ok := n.broken[string(call)]; ok {
		delete(n.broken, string(call))
		if now.Sub(at) < soon {
			n.retries++
		}
	}
	if f != none {
		n.broken[string(call)] = now
	}
	return f
}

// readCall reads one call as the bytes it came in. Nothing follows it before it is
// answered: Go does not pipeline.
func readCall(from net.Conn) (call []byte, search bool, err error) {
	var b bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(from, &b)))
	if err != nil {
		return nil, false, err
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, false, err
	}
	return b.Bytes(), strings.HasPrefix(r.URL.Path, "/verify/search/"), nil
}

// relay passes calls on over one pair of connections.
type relay struct{ gateway, api *net.TCPConn }

// pass takes one call to the API and its answer back, as far as the fault allows.
// It reports whether the connections can be used again.
func (r *relay) pass(f fault, call []byte) bool {
	switch f {
	case resetBefore:
		reset(r.gateway)
		return false
	case resetRequest:
		r.api.Write(call[:len(call)/2])
		reset(r.api)
		reset(r.gateway)
		return false
	case resetUnread:
		r.api.Write(call)
		reset(r.gateway)
		r.answer() // lets the API finish
		return false
	case bandwidth:
		if !slowly(r.api, call, 256, 16*time.Millisecond) {
			return false
		}
	case waf400, waf403:
		const page = "<html><body>Blocked</body></html>"
		code := map[fault]int{waf400: http.StatusBadRequest, waf403: http.StatusForbidden}[f]
		_, err := fmt.Fprintf(r.gateway, "HTTP/1.1 %d Blocked\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s", code, len(page), page)
		return err == nil
	case timeout:
		if rand.IntN(2) == 0 {
			r.wait()
			return false
		}
		fallthrough
	default:
		if _, err := r.api.Write(call); err != nil {
			return false
		}
	}
	if f == halfClose {
		return r.halfClosed()
	}
	answer, err := r.answer()
	if err != nil {
		return false
	}
	switch f {
	case resetAfter:
		reset(r.gateway)
		return false
	case resetAnswer:
		r.gateway.Write(answer[:len(answer)/2])
		reset(r.gateway)
		return false
	case latency:
		time.Sleep(20*time.Millisecond + rand.N(280*time.Millisecond))
	case lowCode:
		answer = bytes.Replace(answer, []byte("HTTP/1.1 200"), []byte("HTTP/1.1 099"), 1)
	case drip:
		return slowly(r.gateway, answer, max(1, len(answer)/40), 2*time.Millisecond)
	case bandwidth:
		return slowly(r.gateway, answer, 256, 16*time.Millisecond)
	case timeout:
		r.wait()
		return false
	default: // the answer as it is
	}
	_, err = r.gateway.Write(answer)
	return err == nil && f != hangUp
}

// halfClosed closes one side: towards the gateway before the answer or amid it, or
// towards the API, which can still answer then.
func (r *relay) halfClosed() bool {
	side := rand.IntN(3)
	switch side {
	case 0:
		r.gateway.CloseWrite()
	case 1:
		r.api.CloseWrite()
	}
	answer, err := r.answer()
	if err != nil {
		return false
	}
	switch side {
	case 0:
		r.wait()
	case 1:
		r.gateway.Write(answer)
	case 2:
		r.gateway.Write(answer[:len(answer)/2])
		r.gateway.CloseWrite()
		r.wait()
	}
	return false
}

// answer reads one answer as the bytes it came in.
func (r *relay) answer() ([]byte, error) {
	var b bytes.Buffer
	response, err := http.ReadResponse(bufio.NewReader(io.TeeReader(r.api, &b)), nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return b.Bytes(), err
}

// wait is for the gateway to give up.
func (r *relay) wait() { io.Copy(io.Discard, r.gateway) }

// slowly writes piece by piece and reports whether all of it went out.
func slowly(to net.Conn, text []byte, piece int, each time.Duration) bool {
	for len(text) > 0 {
		n, err := to.Write(text[:min(piece, len(text))])
		if err != nil {
			return false
		}
		text = text[n:]
		time.Sleep(each)
	}
	return true
}

// reset closes a connection so that the other end sees it reset.
func reset(conn net.Conn) {
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

// sleep waits, but not longer than ctx.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
