//go:build linux

// Command awake keeps a core from sleeping and gives it up whenever anything else there has something to do, for as
// long as the process that began it is there.
package main

import (
	"os"
	"syscall"
)

func main() {
	parent := os.Getppid()
	for os.Getppid() == parent {
		for range 10_000 {
			_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) // never fails
		}
	}
}
