package main

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   spread
	}{
		{[]float64{4}, spread{4, 4, 4}},
		{[]float64{9, 1, 2}, spread{2, 1, 9}},
		{[]float64{4, 9, 1, 2}, spread{3, 1, 9}},
	} {
		before := slices.Clone(test.values)
		if got := spreadOf(test.values); got != test.want {
			t.Errorf("%v: got %v, want %v", test.values, got, test.want)
		}
		if !slices.Equal(before, test.values) {
			t.Errorf("%v has become %v", before, test.values)
		}
	}
}

// rounds are results of 1,000 calls that cost so many µs each.
func rounds(costs ...int) (all []result) {
	for _, cost := range costs {
		all = append(all, result{load{Requests: 1000, Micros: 2e6, P50: 1500}, usage{time.Duration(cost) * time.Millisecond, 3 << 20}})
	}
	return all
}

// TestRatio wants each round compared with itself: the ratio of the medians is 1.
func TestRatio(t *testing.T) {
	got, ok := ratio(rounds(10, 20, 60), rounds(5, 40, 20))
	if want := (spread{2, 0.5, 3}); !ok || got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok := ratio(rounds(1), nil); ok {
		t.Error("compared with a side that was left out")
	}
}

func TestReport(t *testing.T) {
	var out strings.Builder
	report(&out, chosen([]string{"hit", "check"}, []string{"respond", "floor", "nginx"}), map[figure][]result{
		{"hit", "respond"}: rounds(10, 12), {"hit", "floor"}: rounds(20, 24), {"check", "floor"}: rounds(7),
	})
	for _, want := range []string{
		"\nhit\n", "ratio to respond, hit",
		"| respond | 11.0 (10.0–12.0) | 1.00 (1.00–1.00) | 500 | 1.50 | 0.00 | 3 |\n",
		"| floor | 22.0 (20.0–24.0) | 2.00 (2.00–2.00) | 500 |",
		"\ncheck\n", "| floor | 7.0 (7.0–7.0) | 1.00",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "nginx") {
		t.Errorf("a side without results in\n%s", &out)
	}
}

func TestReadLoad(t *testing.T) {
	said := "Running 1s test\n  2 threads\n" +
		`{"requests":20278,"micros":1000123,"non_2xx":1,"socket_errors":2,"p50":1560,"p99":5380,"p9999":8700}` + "\n"
	want := load{Requests: 20278, Micros: 1000123, Non2xx: 1, SocketErrors: 2, P50: 1560, P99: 5380, P9999: 8700}
	if got, err := readLoad(said); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, wrong := range []string{"", "unable to connect\n", `{"requests":1`, `{"requests":0,"micros":1000123}`} {
		if _, err := readLoad(wrong); err == nil {
			t.Errorf("%q was understood", wrong)
		}
	}
}

func TestProc(t *testing.T) {
	const stat = "4711 (a) R 1 2 (b) S 1 4711 4711 0 -1 4194560 5190 7 11 0 123 45 6 7 20 0 9 0 12345 2000000 900 18446744073709551615"
	if got, err := cpuTime(stat); err != nil || got != (123+45+6+7)*10*time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	for _, wrong := range []string{"", "4711 (caddy) S 1 2 3", strings.Replace(stat, " 45 ", " x ", 1)} {
		if _, err := cpuTime(wrong); err == nil {
			t.Errorf("%q was understood", wrong)
		}
	}
	if got, err := residentSet("Name:\tcaddy\nVmHWM:\t   99999 kB\nVmRSS:\t   71234 kB\nThreads:\t8\n"); err != nil || got != 71234*1024 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := residentSet("Name:\tcaddy\n"); err == nil {
		t.Error("a process without memory was understood")
	}
	if runtime.GOOS == "linux" {
		if got, err := used(os.Getpid()); err != nil || got.rss < 1<<20 {
			t.Errorf("this process: %+v, %v", got, err)
		}
	}
}

func TestDivide(t *testing.T) {
	for _, test := range []struct {
		list string
		want cores
		rest int
	}{
		{"0", cores{}, 0},
		{"0-1", cores{"0", "1"}, 1},
		{"2,4-6", cores{"2", "4,5,6"}, 3},
		{"0-2,8", cores{"0", "1,2,8"}, 3},
		{"0-63", cores{"0", "1,2,3"}, 3},
	} {
		if got, rest, err := divide(test.list); err != nil || got != test.want || rest != test.rest {
			t.Errorf("%s: got %+v and %d, %v", test.list, got, rest, err)
		}
	}
	if _, _, err := divide(""); err == nil {
		t.Error("an empty list was understood")
	}
	if got := (cores{"2", "3"}).of("caddy", "run"); !slices.Equal(got, []string{"chrt", "--other", "0", "taskset", "-c", "2", "caddy", "run"}) {
		t.Error(got)
	}
	if got := (cores{}).of("caddy", "run"); !slices.Equal(got, []string{"caddy", "run"}) {
		t.Error(got)
	}
}

func TestVersion(t *testing.T) {
	for said, want := range map[string]string{
		"nginx version: nginx/1.22.1\n":                                               "nginx/1.22.1",
		"HAProxy version 2.6.12-1 2026/10/17 - https://haproxy.org/\nStatus: LTS":     "HAProxy 2.6.12-1",
		"wrk debian/4.1.0-3 [epoll] Copyright (C) 2012 Will Glozer\nUsage: wrk <opt>": "wrk debian/4.1.0-3",
		"": "",
	} {
		if got := version(said); got != want {
			t.Errorf("%q: got %q", said, got)
		}
	}
}

func TestCheck(t *testing.T) {
	names, sides := named()
	good := options{rounds: 7, time: 4 * time.Second, keys: 10_000, connections: 32}
	if err := good.check(nil, names, sides); err != nil {
		t.Fatal(err)
	}
	for flag, spoil := range map[string]func(o *options, args, names, sides *[]string){
		"extra":        func(_ *options, args, _, _ *[]string) { *args = []string{"extra"} },
		"-rounds":      func(o *options, _, _, _ *[]string) { o.rounds = 0 },
		"-time":        func(o *options, _, _, _ *[]string) { o.time = 1500 * time.Millisecond },
		"-keys":        func(o *options, _, _, _ *[]string) { o.keys = maxKeys + 1 },
		"-connections": func(o *options, _, _, _ *[]string) { o.connections = 0 },
		"-soak":        func(o *options, _, _, _ *[]string) { o.soak = -time.Second },
		"-workloads":   func(_ *options, _, names, _ *[]string) { *names = []string{"hits"} },
		"-sides":       func(_ *options, _, _, sides *[]string) { *sides = []string{"respond", ""} },
	} {
		o, args, n, s := good, []string(nil), names, sides
		spoil(&o, &args, &n, &s)
		if err := o.check(args, n, s); err == nil || !strings.HasPrefix(err.Error(), flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	good.rounds, good.profile = 0, "folder"
	if err := good.check(nil, names, sides); err != nil {
		t.Error(err)
	}
}

func TestChosen(t *testing.T) {
	got := map[string][]string{}
	for _, w := range chosen([]string{"check", "hit", "hit10"}, []string{"nginx", "floor"}) {
		got[w.name] = w.sides
	}
	if want := map[string][]string{"hit": {"floor", "nginx"}, "check": {"floor"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestWorkloads wants what the parts that know a workload or a side by its name to
// know the same ones.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		if !strings.Contains(string(wrkScript), fmt.Sprintf("function make.%s(", w.name)) {
			t.Errorf("wrk.lua does not make %s", w.name)
		}
		for _, name := range w.sides {
			handler, _ := variant(name)
			if _, ok := handlers[handler]; !ok && name != "nginx" && name != "haproxy" {
				t.Errorf("%s has no configuration", name)
			}
		}
		if !slices.ContainsFunc(workloads, func(other workload) bool {
			return other.name == w.reference.workload && slices.Contains(other.sides, w.reference.side)
		}) {
			t.Errorf("%s is compared with %v, which is not measured", w.name, w.reference)
		}
	}
	if tag := fmt.Sprintf(`"%%0%dd%%0%dd"`, runDigits, serialDigits); !strings.Contains(string(wrkScript), tag) {
		t.Errorf("wrk.lua has no tags of %s", tag)
	}
	if !strings.Contains(string(wrkScript), `"`+host+`"`) || !strings.Contains(string(wrkScript), idPrefix) {
		t.Error("wrk.lua has another host or another request_id")
	}
}

func TestTogether(t *testing.T) {
	var names [][]string
	for _, group := range together(workloads) {
		var of []string
		for _, w := range group {
			of = append(of, w.name)
		}
		names = append(names, of)
	}
	if want := [][]string{{"hit", "hit10"}, {"request"}, {"check"}}; !reflect.DeepEqual(names, want) {
		t.Errorf("together: %v, want %v", names, want)
	}
	if alone := together(workloads[1:2]); len(alone) != 1 || alone[0][0].name != "hit10" {
		t.Errorf("hit10 alone: %v", alone)
	}
}
