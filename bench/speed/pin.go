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
	for _, program := range []string{"taskset", "chrt"} {
		if _, err := exec.LookPath(program); err != nil {
			fmt.Fprintf(os.Stderr, "Nothing is pinned to a core, so figures vary more: %s is not there. On Debian: apt-get install --no-install-recommends util-linux.\n", program)
			return cores{}, nil
		}
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

// keepAwake keeps the cores of wrk and the upstream busy with something that gives way by itself. To wake a sleeping
// core, or to interrupt one that does something else, costs the side that does it CPU time, most of all in a virtual
// machine: 8 µs in one where a call took 30; and the slower the side, the more of its peers are asleep. Programs of the
// class that the kernel calls batch, as these are now, wait until a core is given to them.
func (b *bench) keepAwake(ctx context.Context) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	var all []*exec.Cmd
	stop = func() {
		cancel()
		for _, awake := range all {
			_ = awake.Wait() // it was killed
		}
	}
	if b.cores.rest == "" {
		return stop, nil
	}
	program, err := b.build(ctx, "awake")
	if err != nil {
		return stop, err
	}
	self := strconv.Itoa(os.Getpid())
	if said, err := exec.Command("chrt", "--all-tasks", "--batch", "--pid", "0", self).CombinedOutput(); err != nil {
		return stop, fmt.Errorf("chrt: %w\n%s", err, said)
	}
	for core := range strings.SplitSeq(b.cores.rest, ",") {
		awake := exec.CommandContext(ctx, "nice", "-n", "19", "taskset", "-c", core, program, self)
		if err := awake.Start(); err != nil {
			return stop, err
		}
		all = append(all, awake)
	}
	return stop, nil
}

// of puts a side's command on its core, in the class of ordinary programs.
func (c cores) of(words ...string) []string {
	if c.side == "" {
		return words
	}
	return append([]string{"chrt", "--other", "0", "taskset", "-c", c.side}, words...)
}
