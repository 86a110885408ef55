// Command guard tells what the guard of caddy-verify stops: it invents a month of five applications, with
// attacks in it, writes the record that a gateway would, and has `caddy verify guard replay` run sets of rules over it:
//
//	go run -C bench ./guard
//
// See ../README.md for its flags and ../../docs/guard.md for what came out.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
)

// options are what the flags say.
type options struct {
	days  int
	scale float64
	seed  uint64
	keep  string // a folder for the records, or "" for none
}

func main() {
	var o options
	flag.IntVar(&o.days, "days", 30, "how many days there are: 15 or more")
	flag.Float64Var(&o.scale, "scale", 1, "how many genuine users there are, as a factor")
	flag.Uint64Var(&o.seed, "seed", 1, "draws users and attacks")
	flag.StringVar(&o.keep, "keep", "", "a folder in which to leave the records")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%s is not understood: only flags are, see -help", flag.Arg(0))
	case o.days < 15:
		return errors.New("-days: write 15 or more: the longest attack takes ten")
	case !(o.scale > 0 && o.scale <= 100):
		return errors.New("-scale: write a number above 0, up to 100")
	}
	folder := o.keep
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "guard"); err != nil {
			return err
		}
		defer os.RemoveAll(folder)
	}
	m := newMonth(o)
	for _, a := range accounts {
		if err := m.write(folder, a); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "This takes about three minutes.")
	results, err := m.try(folder, ruleSets)
	if err != nil {
		return err
	}
	m.report(os.Stdout, results)
	return m.goals(results)
}
