// Command replay counts how many searches reach the Verify API: when a gateway answers from memory, when nothing does,
// and when nginx caches by URL. The same verifications are replayed at the same time on every side, each with a
// sandbox of its own for an upstream:
//
//	go run -C bench ./replay
//
// See ../README.md for its flags and ../../docs/benchmarks.md for what came out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	verifications int
	apps          int
	ids           int
	over          time.Duration
	speed         float64
	seed          uint64
	nginx         string // "" to leave it out
}

func main() {
	var o options
	flag.IntVar(&o.verifications, "verifications", 2000, "how many verifications there are")
	flag.IntVar(&o.apps, "apps", 3, "how many apps poll each of them every second until it is over")
	flag.IntVar(&o.ids, "ids", maxIDs, "the most ids in a search of an app: 1 to 10")
	flag.DurationVar(&o.over, "over", 2*time.Minute, "the time in which they begin; the last ends two minutes later")
	flag.Float64Var(&o.speed, "speed", 1, "how many times faster than life; nginx takes part at 1 only")
	flag.Uint64Var(&o.seed, "seed", 1, "draws the users and the searches")
	flag.StringVar(&o.nginx, "nginx", "nginx", `path of nginx, or "" to leave it out`)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%s is not understood: only flags are, see -help", flag.Arg(0))
	case o.verifications < 1 || o.verifications > maxNumbers:
		return fmt.Errorf("-verifications: write 1 to %d", maxNumbers)
	case o.apps < 1:
		return errors.New("-apps: write 1 or more")
	case o.ids < 1 || o.ids > maxIDs:
		return fmt.Errorf("-ids: write 1 to %d", maxIDs)
	case o.over <= 0:
		return errors.New("-over: write a duration above 0")
	case !(o.speed > 0 && o.speed <= 100):
		return errors.New("-speed: write a number above 0, up to 100")
	}
	o.nginx = findNginx(o)
	sides, closeAll, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer closeAll()
	lives := plan(o.seed, o.verifications, o.over)
	fmt.Fprintf(os.Stderr, "This takes about %s.\n", o.real(o.over+pinExpiry).Round(time.Second))
	pause, err := replay(ctx, o, lives, sides)
	if err == nil {
		report(os.Stdout, o, lives, sides, pause)
	}
	for _, s := range sides {
		err = errors.Join(err, s.failures())
	}
	return err
}

// findNginx is the path of nginx, or "" after saying why that side is left out.
func findNginx(o options) string {
	if o.nginx == "" {
		return ""
	}
	if o.speed != 1 {
		fmt.Fprintln(os.Stderr, "nginx is left out: its cache counts in whole seconds, so it can be compared at -speed 1 only.")
		return ""
	}
	path, err := exec.LookPath(o.nginx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "nginx is left out: it is not there. On Debian: apt-get install --no-install-recommends nginx; elsewhere -nginx takes its path.")
		return ""
	}
	return path
}

// real is how long a time in the life of a verification takes in the replay.
func (o options) real(d time.Duration) time.Duration {
	return time.Duration(float64(d) / o.speed)
}
