//go:build linux

// Command awake keeps a core from sleeping and gives it up whenever anything else there has something to do, for as
// long as its parent lives, whose process number is its argument.
package main

import (
	"os"
	"strconv"
	"syscall"
)

func main() {
	for len(os.Args) == 2 && strconv.Itoa(os.Getppid()) == os.Args[1] {
		for range 10_000 {
			_, _, _ = syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) // never fails
		}
	}
}
