//go:build !linux

package caddyverify

import (
	"net"
	"sync"
	"testing"
)

// given are the addresses that freeAddress has returned: two of one test must differ.
var given sync.Map

// freeAddress is one at which nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		if _, again := given.LoadOrStore(address, true); !again {
			return address
		}
	}
}

// listenTwice is not known here.
func listenTwice() bool { return false }
