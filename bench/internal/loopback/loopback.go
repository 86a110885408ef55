// Package loopback finds addresses for the benchmarks' servers.
package loopback

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// Free sets each address to one on loopback at which nobody listens; no two are the
// same. The kernel gives their ports to nobody who asks for any, as servers of tests and
// clients do: they are below net.ipv4.ip_local_port_range.
func Free(addresses ...*string) error {
	for _, address := range addresses {
		listener, err := listen()
		if err != nil {
			return err
		}
		defer listener.Close() // once all are found
		*address = listener.Addr().String()
	}
	return nil
}

func listen() (listener net.Listener, err error) {
	for range 1000 {
		listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			break
		}
	}
	return listener, err
}

// Wait waits until an address takes connections, or the process that is to listen has
// exited.
func Wait(address string, exited <-chan struct{}) error {
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-exited:
			return errors.New("it exited")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return errors.New("it does not listen")
}
