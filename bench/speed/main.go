// Command speed measures what a call costs in CPU time: through caddy-verify, through the least that a handler in Caddy
// can do, and through nginx and HAProxy. All sides take turns on one core, in the same run.
//
//	go run -C bench ./speed
//
// It needs Linux and wrk. See ../README.md for its flags and ../../docs/benchmarks.md for what came out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	rounds      int
	time        time.Duration
	keys        int
	connections int
	metrics     bool
	profile     string
	soak        time.Duration

	wrk, nginx, haproxy string // paths, "" to leave a side out
}

func main() {
	var o options
	names, sides := named()
	flag.IntVar(&o.rounds, "rounds", 20, "how many times each side is measured")
	flag.DurationVar(&o.time, "time", time.Second, "the time of a measurement, in whole seconds")
	flag.IntVar(&o.keys, "keys", 10_000, "how many verifications there are to search for")
	flag.IntVar(&o.connections, "connections", 32, "how many connections wrk keeps busy")
	workloads := flag.String("workloads", strings.Join(names, ","), "the workloads to measure")
	only := flag.String("sides", strings.Join(sides, ","), "the sides to measure")
	flag.BoolVar(&o.metrics, "caddy-metrics", false, "turn Caddy's own metrics on, on all sides of Caddy")
	flag.StringVar(&o.profile, "profile", "", "a folder for CPU profiles of all sides of Caddy, of an extra run each; with it, -rounds may be 0")
	flag.DurationVar(&o.soak, "soak", 0, "instead of all this, load caddy-verify for so long and watch its memory")
	flag.StringVar(&o.wrk, "wrk", "wrk", "path of wrk")
	flag.StringVar(&o.nginx, "nginx", "nginx", `path of nginx, or "" to leave it out`)
	flag.StringVar(&o.haproxy, "haproxy", "haproxy", `path of HAProxy, or "" to leave it out`)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, o, strings.Split(*workloads, ","), strings.Split(*only, ","))
	if err != nil && ctx.Err() != nil {
		err = errors.New("stopped before its end")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

// maxKeys all find a place in the cache with its default bounds.
const maxKeys = 20_000

// check finds what is wrong with the flags.
func (o *options) check(args, names, sides []string) error {
	allNames, allSides := named()
	unknown := func(all []string) func(string) bool {
		return func(name string) bool { return !slices.Contains(all, name) }
	}
	switch {
	case len(args) > 0:
		return fmt.Errorf("%s is not understood: only flags are, see -help", args[0])
	case o.rounds < 0 || o.rounds == 0 && o.profile == "" || o.rounds > 100:
		return errors.New("-rounds: write 1 to 100, or 0 together with -profile")
	case o.time < time.Second || o.time%time.Second != 0 || o.time > time.Minute:
		return errors.New("-time: write whole seconds from 1s to 1m, which is what wrk takes")
	case o.keys < 10 || o.keys > maxKeys:
		return fmt.Errorf("-keys: write 10 to %d", maxKeys)
	case o.connections < 1 || o.connections > 1000:
		return errors.New("-connections: write 1 to 1000")
	case o.soak < 0 || o.soak > 0 && o.profile != "":
		return errors.New("-soak: write a duration above 0, and no -profile")
	case slices.ContainsFunc(names, unknown(allNames)):
		return fmt.Errorf("-workloads: write some of %s", strings.Join(allNames, ","))
	case slices.ContainsFunc(sides, unknown(allSides)):
		return fmt.Errorf("-sides: write some of %s", strings.Join(allSides, ","))
	}
	return nil
}

func run(ctx context.Context, o options, names, sides []string) error {
	if err := o.check(flag.Args(), names, sides); err != nil {
		return err
	}
	if runtime.GOOS != "linux" {
		return errors.New("it needs Linux: it reads CPU times from /proc")
	}
	var err error
	if o.wrk, err = exec.LookPath(o.wrk); err != nil {
		return errors.New("wrk is not there. On Debian: apt-get install --no-install-recommends wrk; elsewhere -wrk takes its path")
	}
	if o.soak > 0 {
		names, sides = []string{"hit"}, []string{"respond", "caddy-verify"}
	}
	for name, path := range map[string]*string{"nginx": &o.nginx, "haproxy": &o.haproxy} {
		if slices.Contains(sides, name) {
			*path = find(name, *path)
		} else {
			*path = ""
		}
		if *path == "" {
			sides = slices.DeleteFunc(sides, func(side string) bool { return side == name })
		}
	}
	b := newBench(o, chosen(names, sides))
	defer b.close()
	if len(b.workloads) == 0 {
		return errors.New("-workloads and -sides: no side that is there takes part in any of the workloads")
	}
	fmt.Fprintf(os.Stderr, "This takes about %s.\n", b.takes())
	cores := runtime.NumCPU()
	if err := b.open(ctx); err != nil {
		return err
	}
	if o.soak > 0 {
		err = b.soaks(ctx, os.Stdout)
	} else {
		err = b.measure(ctx)
	}
	if err != nil {
		return err
	}
	b.closeSides()
	if o.soak == 0 && o.rounds > 0 {
		report(os.Stdout, b.workloads, b.results)
	}
	fmt.Printf("\n%s\n", machine(cores, o.wrk, o.nginx, o.haproxy))
	return b.verify()
}

// find is the path of a program, or "" after saying why its side is left out.
func find(name, path string) string {
	if path == "" {
		return ""
	}
	found, err := exec.LookPath(path)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s is left out: it is not there. On Debian: apt-get install --no-install-recommends %[1]s; elsewhere -%[1]s takes its path.\n", name)
		return ""
	}
	return found
}

// takes estimates the time for all runs, with a build before them.
func (b *bench) takes() time.Duration {
	runs := 0
	for _, w := range b.workloads {
		runs += len(w.sides)
	}
	each := time.Second + time.Duration(b.rounds)*(warmUp+b.time+200*time.Millisecond)
	if b.soak > 0 {
		return b.soak + 20*time.Second
	}
	if b.profile != "" {
		each += b.time + time.Second
	}
	return (20*time.Second + time.Duration(runs)*each).Round(10 * time.Second)
}
