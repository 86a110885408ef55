package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one measurement.
type bench struct {
	options
	cores     cores
	dir       string // for all files, removed in the end
	caddy     string // the binary
	workloads []workload
	ids       []string
	upstream  *upstream
	sink      *sink
	sides     map[string]*side
	sleep     func() // lets the cores sleep again

	runs    int
	results map[figure][]result // a result in each round
	passes  []pass
	wrong   []error // what makes the figures worthless
}

// result is one run of wrk and what it cost the side.
type result struct {
	load
	usage // rss is after the run
}

func newBench(o options, all []workload) *bench {
	b := &bench{options: o, workloads: all, sides: map[string]*side{}, results: map[figure][]result{}}
	for i := range o.keys {
		b.ids = append(b.ids, requestID(i))
	}
	return b
}

// requestID makes 32 hexadecimal digits, as those of the provider are.
func requestID(i int) string {
	r := rand.New(rand.NewPCG(1, uint64(i)))
	return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
}

func (b *bench) file(name string) string { return filepath.Join(b.dir, name) }

// open starts everything.
func (b *bench) open(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "caddy-verify-bench-"); err != nil {
		return err
	}
	if err = os.WriteFile(b.file("wrk.lua"), wrkScript, 0o600); err != nil {
		return err
	}
	if err = os.WriteFile(b.file("ids"), []byte(strings.Join(b.ids, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if b.caddy, err = b.build(ctx, "caddy"); err != nil {
		return err
	}
	if b.cores, err = pin(); err != nil {
		return err
	}
	if b.sleep, err = b.keepAwake(ctx); err != nil {
		return err
	}
	if b.upstream, err = newUpstream(); err != nil {
		return err
	}
	if b.sink, err = newSink(); err != nil {
		return err
	}
	for _, w := range b.workloads {
		for _, name := range w.sides {
			if b.sides[name] != nil {
				continue
			}
			if b.sides[name], err = b.startSide(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeSides ends the proxies, which send their last spans then.
func (b *bench) closeSides() {
	for _, s := range b.sides {
		if s != nil {
			s.process.stop()
		}
	}
}

// close ends what is left.
func (b *bench) close() {
	b.closeSides()
	if b.upstream != nil && b.upstream.server != nil {
		_ = b.upstream.server.Close()
	}
	if b.sink != nil && b.sink.server != nil {
		_ = b.sink.server.Close()
	}
	if b.sleep != nil {
		b.sleep()
	}
	if b.dir != "" {
		os.RemoveAll(b.dir)
	}
}

// prepare finds out whether every side answers as it should, which fills the
// caches, and discards a first run of it.
func (b *bench) prepare(ctx context.Context, all []workload) error {
	for _, w := range all {
		for _, name := range w.sides {
			if err := b.try(ctx, w.name, b.sides[name]); err != nil {
				return fmt.Errorf("%s, %s: %w", w.name, name, err)
			}
			if _, err := b.run(ctx, w, name, time.Second); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure makes the rounds, each in the opposite order of the last, so that what
// drifts makes up for itself. Workloads whose costs are compared share rounds;
// the others have theirs one after the other, since what a side is left with of
// one, such as a hundred thousand verifications, is there for all that come after.
func (b *bench) measure(ctx context.Context) error {
	for _, all := range together(b.workloads) {
		if err := b.prepare(ctx, all); err != nil {
			return err
		}
		for round := range b.rounds {
			fmt.Fprintf(os.Stderr, "%s: round %d of %d.\n", all[0].name, round+1, b.rounds)
			if err := b.round(ctx, all, round%2 == 1); err != nil {
				return err
			}
		}
		if b.profile == "" {
			continue
		}
		if err := b.profiles(ctx, all); err != nil {
			return err
		}
	}
	return nil
}

// warmUp is for how long a side works before it is measured. While the others had
// their turns, what it holds was displaced from the processor's caches; without a
// warm-up, a side would cost more the more it holds.
const warmUp = time.Second

func (b *bench) round(ctx context.Context, all []workload, backward bool) error {
	all = slices.Clone(all)
	if backward {
		slices.Reverse(all)
	}
	for _, w := range all {
		sides := slices.Clone(w.sides)
		if backward {
			slices.Reverse(sides)
		}
		for _, name := range sides {
			if _, err := b.run(ctx, w, name, warmUp); err != nil {
				return err
			}
			r, err := b.run(ctx, w, name, b.time)
			if err != nil {
				return err
			}
			of := figure{w.name, name}
			b.results[of] = append(b.results[of], r)
		}
	}
	return nil
}

// run makes one run of wrk against a side.
func (b *bench) run(ctx context.Context, w workload, name string, d time.Duration) (r result, err error) {
	s := b.sides[name]
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s, %s: %w%s", w.name, name, err, s.process.last())
		}
	}()
	b.runs++
	number, searches := b.runs, b.upstream.searches.Load()
	before, err := used(s.process.pid())
	if err != nil {
		return r, err
	}
	if r.load, err = b.call(ctx, w.name, number, s, d); err != nil {
		return r, err
	}
	if r.usage, err = used(s.process.pid()); err != nil {
		return r, err
	}
	r.cpu -= before.cpu
	if n := r.Non2xx + r.SocketErrors; n > 0 {
		b.fail("%s, %s: %d calls went wrong, of %d", w.name, name, n, r.Requests)
	}
	if n := b.upstream.searches.Load() - searches; n > 0 {
		b.fail("%s, %s: %d searches went upstream, which memory should have answered", w.name, name, n)
	}
	if w.passed {
		b.passes = append(b.passes, pass{number, figure{w.name, name}, r.Requests})
	}
	return r, nil
}
