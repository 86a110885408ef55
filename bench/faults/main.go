// Command faults runs a gateway between clients and a Verify API whose connections break, stall and drip, and counts: no
// call may reach the API more often than it was made, and no verification that the API started may be lost to its client.
//
//	go run -C bench ./faults
//
// It prints what happened and exits with 1 if anything must not have happened. See ../README.md for its flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what the flags say.
type options struct {
	calls   int
	clients int
	resets  float64
	others  float64
	outages int
	seed    uint64
	method  string
	within  time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.calls, "calls", 100_000, "how many calls the clients make, give or take the last few")
	flag.IntVar(&o.clients, "clients", 32, "how many clients call at the same time")
	flag.Float64Var(&o.resets, "resets", 5, "the percentage of upstream calls whose connection is reset, before or after they were handled")
	flag.Float64Var(&o.others, "others", 6, "the percentage with another fault: latency, drip, bandwidth, half_close, hang_up, low_code, waf_400, waf_403, timeout")
	flag.IntVar(&o.outages, "outages", 3, "how many times no connection can be made for a while")
	flag.Uint64Var(&o.seed, "seed", 1, "draws the calls and the faults; how they meet differs from run to run")
	flag.StringVar(&o.method, "method", "auto", "how the gateway makes its calls: auto, get or post")
	flag.DurationVar(&o.within, "within", 20*time.Minute, "the time after which it gives up")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%s is not understood: only flags are, see -help", flag.Arg(0))
	case o.calls < 1 || o.calls > maxCalls:
		return fmt.Errorf("-calls: write 1 to %d", maxCalls)
	case o.clients < 1 || o.clients > 1000:
		return errors.New("-clients: write 1 to 1000")
	case !(o.resets >= 0 && o.others >= 0 && o.resets+o.others <= 50):
		return errors.New("-resets and -others: write percentages that are at most 50 together; with more, the breaker is open most of the time")
	case o.outages < 0 || o.outages > 100:
		return errors.New("-outages: write 0 to 100")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.within, fmt.Errorf("not done after %s", o.within))
	defer cancel()
	r, err := play(ctx, o, o.startGateway)
	if err != nil {
		return err
	}
	r.print(os.Stdout)
	if n := len(r.violations); n > 0 {
		return fmt.Errorf("%d violations", n)
	}
	return nil
}
