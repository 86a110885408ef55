// Package loopback finds addresses for the benchmarks' servers.
package loopback

import (
	"errors"
	"net"
	"time"
)

// Free sets each address to one on loopback at which nobody listens; no two are the
// same.
func Free(addresses ...*string) error {
	for _, address := range addresses {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close() // once all are found
		*address = listener.Addr().String()
	}
	return nil
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
