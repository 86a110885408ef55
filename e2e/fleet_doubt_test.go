//go:build e2e

package e2e

import (
	"fmt"
	"sync"
	"time"
)

// doubts are faults that are none where a gateway could not ask the store in time just then: on a machine that is too slow
// gateways go on alone, as they are to, and promise less.
type doubts struct {
	f    *fleet
	stop chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex
	looks []look
	all   []doubt
}

// look is whether all calls to the store were answered since the last look.
type look struct {
	from, to time.Time
	failed   float64
}

type doubt struct {
	from, to time.Time
	format   string
	args     []any
}

// lookEvery is the time between two looks at what gateways tell of their store.
const lookEvery = 200 * time.Millisecond

func startDoubts(f *fleet) *doubts {
	d := &doubts{f: f, stop: make(chan struct{})}
	d.done.Go(d.watch)
	return d
}

func (d *doubts) watch() {
	before := make([]float64, len(d.f.members))
	at := time.Now()
	for first := true; ; first = false {
		begun := time.Now()
		failed := 0.0
		for i, m := range d.f.members {
			values, ok := d.f.tryMetrics(m)
			if !ok {
				continue // it is being started
			}
			n := values.sum(`verify_store_calls_total{result="failed"}`) + values.sum(`verify_store_calls_total{result="skipped"}`)
			if n < before[i] {
				before[i] = 0
			}
			if !first {
				failed += n - before[i]
			}
			before[i] = n
		}
		d.mu.Lock()
		d.looks = append(d.looks, look{at, time.Now(), failed})
		d.mu.Unlock()
		at = begun
		select {
		case <-d.stop:
			return
		case <-time.After(lookEvery):
		}
	}
}

// lookAgain waits until it has looked once more at all gateways.
func (d *doubts) lookAgain() {
	d.f.t.Helper()
	looked := func() int {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.looks)
	}
	before := looked()
	eventually(d.f.t, "the gateways are looked at", func() error {
		if n := looked() - before; n < 2 { // the first may have begun before
			return fmt.Errorf("%d looks", n)
		}
		return nil
	})
}

// fault is one unless the store was away at some time since from.
func (d *doubts) fault(from time.Time, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, doubt{from, time.Now(), format, args})
}

// end has it look no more.
func (d *doubts) end() {
	time.Sleep(2 * lookEvery)
	close(d.stop)
	d.done.Wait()
}

// settle tells which are faults.
func (d *doubts) settle() {
	d.f.t.Helper()
	d.end()
	bad, failed := 0, 0.0
	for _, l := range d.looks {
		if failed += l.failed; l.failed > 0 {
			bad++
		}
	}
	if bad*20 > len(d.looks) {
		d.f.t.Log("this machine is too busy to tell: what follows counts for nothing")
		d.f.doubtful.Store(true)
	}
	excused := map[string]int{}
	for _, one := range d.all {
		if d.answered(one.from, one.to) {
			d.f.fault(one.format, one.args...)
		} else {
			excused[one.format]++
		}
	}
	d.f.t.Logf("%.0f calls to the store were not answered in time, in %d of %d fifths of a second", failed, bad, len(d.looks))
	for format, n := range excused {
		d.f.t.Logf("%d times while the store was away: %s", n, format)
	}
	if bad*2 > len(d.looks) {
		d.f.t.Error("the store was away more often than not: nothing can be told")
	}
}

// answered tells whether all that was asked of the store between two times was answered.
func (d *doubts) answered(from, to time.Time) bool {
	for _, l := range d.looks {
		if l.failed > 0 && l.to.After(from) && l.from.Before(to) {
			return false
		}
	}
	return true
}
