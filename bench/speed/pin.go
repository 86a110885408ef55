package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// cores divides the machine: one core for the side whose turn it is, some others for
// this command with its upstream, and for wrk. Both are "" where nothing is pinned.
type cores struct{ side, rest string }

// divide takes the first of the cores in a list such as 0-3,8 for the sides.
func divide(list string) (c cores, rest int, err error) {
	var all []string
	for part := range strings.SplitSeq(list, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(to)
		}
		if err != nil {
			return cores{}, 0, fmt.Errorf("the list of cores %q: %w", list, err)
		}
		for core := first; core <= last; core++ {
			all = append(all, strconv.Itoa(core))
		}
	}
	if len(all) < 2 {
		return cores{}, 0, nil
	}
	others := all[1:min(len(all), 1+mostOthers)]
	return cores{all[0], strings.Join(others, ",")}, len(others), nil
}

// mostOthers are enough for wrk and the upstream.
const mostOthers = 3

// pin keeps this process, and what it starts, off the core of the sides.
func pin() (cores, error) {
	if _, err := exec.LookPath("taskset"); err != nil {
		fmt.Fprintln(os.Stderr, "Nothing is pinned to a core, so figures vary more: taskset is not there. On Debian: apt-get install --no-install-recommends util-linux.")
		return cores{}, nil
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return cores{}, err
	}
	list, _ := field(string(status), "Cpus_allowed_list:")
	c, rest, err := divide(list)
	if err != nil {
		return cores{}, err
	}
	if rest == 0 {
		fmt.Fprintln(os.Stderr, "Nothing is pinned to a core, so figures vary more: there is only one.")
		return cores{}, nil
	}
	// -a is for all threads, of which new ones take it over.
	if said, err := exec.Command("taskset", "-a", "-p", "-c", c.rest, strconv.Itoa(os.Getpid())).CombinedOutput(); err != nil {
		return cores{}, fmt.Errorf("taskset: %w\n%s", err, said)
	}
	runtime.GOMAXPROCS(rest)
	return c, nil
}

// keepAwake lets nothing but the lowest priority run where wrk and the upstream have
// nothing to do. To wake a core that sleeps takes CPU time of the side that wakes it,
// most of all in a virtual machine, and the slower side would find more asleep.
func (c cores) keepAwake(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, idle := range all {
			_ = idle.Wait() // it was killed
		}
	}
	if c.rest == "" {
		return stop, nil
	}
	if _, err := exec.LookPath("chrt"); err != nil {
		fmt.Fprintln(os.Stderr, "Cores may sleep, so figures vary more: chrt is not there. On Debian: apt-get install --no-install-recommends util-linux.")
		return stop, nil
	}
	for core := range strings.SplitSeq(c.rest, ",") {
		idle := exec.CommandContext(ctx, "chrt", "--idle", "0", "taskset", "-c", core, "sh", "-c", spin)
		if err := idle.Start(); err != nil {
			stop()
			return nil, err
		}
		all = append(all, idle)
	}
	return stop, nil
}

// spin keeps a core busy for as long as the process that began it is there.
const spin = `while kill -0 $PPID 2>/dev/null; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done`

// of puts a side's command on its core.
func (c cores) of(words ...string) []string {
	if c.side == "" {
		return words
	}
	return append([]string{"taskset", "-c", c.side}, words...)
}
