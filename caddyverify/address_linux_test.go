package caddyverify

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// given are the ports that freeAddress has returned, as the kernel writes them.
var given sync.Map

// freeAddress is one at which nobody listens. A socket keeps its port for the test; it is shared with those that ask for
// that, as Caddy's do.
func freeAddress(t *testing.T) string {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(socket) })
	bound := errors.Join(
		unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	address, err := unix.Getsockname(socket)
	if err := errors.Join(bound, err); err != nil {
		t.Fatal(err)
	}
	port := address.(*unix.SockaddrInet4).Port
	given.Store(fmt.Sprintf("%04X", port), true)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// listenTwice tells whether two sockets take connections to one of the addresses that freeAddress has given.
func listenTwice() bool {
	seen := map[string]bool{}
	for _, address := range append(listening("/proc/net/tcp"), listening("/proc/net/tcp6")...) {
		_, port, _ := strings.Cut(address, ":")
		if _, ours := given.Load(port); ours && seen[address] {
			return true
		}
		seen[address] = true
	}
	return false
}

// listening are the addresses of a table of the kernel's at which a socket takes connections, one for each.
func listening(table string) (addresses []string) {
	file, err := os.Open(table)
	if err != nil {
		return nil // without IPv6 there is no table of it
	}
	defer file.Close()
	sockets := bufio.NewScanner(file)
	for sockets.Scan() {
		switch fields := strings.Fields(sockets.Text()); {
		case len(fields) < 4:
		case fields[3] == "0A":
			addresses = append(addresses, fields[1])
		case fields[0] != "sl": // the head
			return addresses // those that listen come first, and thousands may follow
		}
	}
	return addresses
}
