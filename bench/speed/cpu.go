package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit in which /proc counts CPU time. Linux gives 10 ms to programs
// whatever it uses itself, except on Alpha.
const tick = 10 * time.Millisecond

// usage is what a process has used: CPU time since it began, and memory now.
type usage struct {
	cpu time.Duration
	rss int64 // bytes
}

// used adds up a process and those that it began, such as nginx's workers.
func used(pid int) (usage, error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(proc + "stat")
	if err != nil {
		return usage{}, err
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return usage{}, err
	}
	var u usage
	if u.cpu, err = cpuTime(string(stat)); err != nil {
		return usage{}, fmt.Errorf("%sstat: %w", proc, err)
	}
	if u.rss, err = residentSet(string(status)); err != nil {
		return usage{}, fmt.Errorf("%sstatus: %w", proc, err)
	}
	lists, err := filepath.Glob(proc + "task/*/children")
	if err != nil {
		return usage{}, err
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread is over
		}
		if err != nil {
			return usage{}, err
		}
		for child := range strings.FieldsSeq(string(text)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				return usage{}, fmt.Errorf("%s: %w", list, err)
			}
			more, err := used(pid)
			if errors.Is(err, fs.ErrNotExist) {
				continue // it has exited, and its parent's stat has its time
			}
			if err != nil {
				return usage{}, err
			}
			u.cpu += more.cpu
			u.rss += more.rss
		}
	}
	return u, nil
}

// cpuTime reads utime, stime and, for children that have exited, cutime and cstime
// of /proc/PID/stat: fields 14 to 17.
func cpuTime(stat string) (time.Duration, error) {
	// The second field is the program's name, which may hold blanks and brackets.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0, errors.New("it is too short")
	}
	var ticks int64
	for _, field := range fields[14-3 : 17-3+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// residentSet reads VmRSS of /proc/PID/status.
func residentSet(status string) (int64, error) {
	text, ok := field(status, "VmRSS:")
	if !ok {
		return 0, errors.New("it has no VmRSS")
	}
	kib, err := strconv.ParseInt(strings.TrimSuffix(text, " kB"), 10, 64)
	return kib << 10, err
}

// field finds a line of a file in /proc by its name.
func field(text, name string) (string, bool) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
