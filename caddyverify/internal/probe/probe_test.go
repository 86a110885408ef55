package probe

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// owner has a Prober, and notes what comes of its probes.
type owner struct {
	mu     sync.Mutex
	prober Prober
	// outcomes that count, and how many do not.
	outcomes []wire.Answer
	ignored  int
}

const timeout = 10 * time.Second

func (o *owner) start() {
	o.mu.Lock()
	run := o.prober.Begin(timeout)
	o.mu.Unlock()
	if run == nil {
		return
	}
	run.Do(func(run *Run, answer wire.Answer) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if !o.prober.Ended(run) {
			o.ignored++
			return
		}
		o.outcomes = append(o.outcomes, answer)
		o.prober.Schedule(time.Time{}, o.start)
	})
}

func (o *owner) use(f Func) (stop func()) { return o.prober.Use(&o.mu, f, o.start) }

func (o *owner) schedule(after time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.prober.Schedule(time.Now().Add(after), o.start)
}

// pass lets time pass, and what is due be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (o *owner) expect(t *testing.T, outcomes int, running bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.outcomes) != outcomes || o.prober.Running() != running {
		t.Errorf("%d outcomes, running %v; want %d, %v", len(o.outcomes), o.prober.Running(), outcomes, running)
	}
}

// answers returns a probe that answers with an HTTP code after a second.
func answers(code int) Func {
	return func(context.Context) wire.Answer {
		time.Sleep(time.Second)
		return wire.Answer{Code: code}
	}
}

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// TestEnds shows that each probe has one outcome, however it ends.
func TestEnds(t *testing.T) {
	tests := []struct {
		name  string
		probe Func
		after time.Duration
		want  wire.Cause // empty for the probe's own answer
	}{
		{"an answer", answers(200), time.Second, ""},
		{"a panic", func(context.Context) wire.Answer { panic("probe") }, 0, wire.UpstreamError},
		{"its goroutine ends", func(context.Context) wire.Answer { runtime.Goexit(); return wire.Answer{} }, 0, wire.UpstreamTimeout},
		{"never", func(context.Context) wire.Answer { time.Sleep(time.Hour); return wire.Answer{} }, timeout, wire.UpstreamTimeout},
	}
	for _, tt := range tests {
		bubble(t, tt.name, func(t *testing.T) {
			var o owner
			defer o.use(tt.probe)()
			o.schedule(time.Minute)
			pass(time.Minute - 1)
			o.expect(t, 0, false)
			if tt.after > 0 {
				pass(tt.after)
				o.expect(t, 0, true)
				pass(1)
			} else {
				pass(1)
			}
			o.expect(t, 1, false)
			pass(2 * time.Hour)
			o.expect(t, 1, false)
			var cause wire.Cause
			if fault := o.outcomes[0].Fault; fault != nil {
				cause = fault.Cause
			}
			if cause != tt.want {
				t.Errorf("the outcome is %q, want %q", cause, tt.want)
			}
		})
	}
}

// TestUse is a reload: the newest probe is used, and one that is stopped is cancelled.
func TestUse(t *testing.T) {
	bubble(t, "the newest", func(t *testing.T) {
		var o owner
		defer o.use(answers(1))()
		stop := o.use(answers(2))
		o.schedule(0)
		pass(time.Second)
		stop()
		o.schedule(0)
		pass(time.Second)
		o.expect(t, 2, false)
		if first, second := o.outcomes[0].Code, o.outcomes[1].Code; first != 2 || second != 1 {
			t.Errorf("the answers came from %d and %d", first, second)
		}
	})
	bubble(t, "none", func(t *testing.T) {
		var o owner
		o.schedule(0)
		pass(time.Hour)
		if o.prober.Pending() {
			t.Error("a probe that nobody makes is about to be")
		}
		defer o.use(answers(1))() // and now the one that is overdue
		pass(0)
		o.expect(t, 0, true)
		pass(time.Second)
		o.expect(t, 1, false)
	})
	bubble(t, "stopped while it runs", func(t *testing.T) {
		var o owner
		stop := o.use(func(ctx context.Context) wire.Answer { <-ctx.Done(); return wire.Answer{Code: 1} })
		defer o.use(answers(2))()
		stopNone := o.use(answers(3))
		stopNone()
		stop() // none is under way
		o.schedule(0)
		pass(0)
		o.expect(t, 0, true)
		pass(time.Second)
		o.expect(t, 1, false)

		stop = o.use(func(ctx context.Context) wire.Answer { <-ctx.Done(); return wire.Answer{Code: 1} })
		o.schedule(0)
		pass(0)
		stop()
		pass(0) // the other one goes on where it ended
		o.expect(t, 1, true)
		pass(time.Second)
		o.expect(t, 2, false)
		if last := o.outcomes[1].Code; last != 2 || o.ignored == 0 {
			t.Errorf("the answer came from %d, and %d were ignored", last, o.ignored)
		}
	})
}

// TestSchedule shows when probes come.
func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o owner
		var begun atomic.Int64
		defer o.use(func(ctx context.Context) wire.Answer {
			begun.Add(1)
			return answers(1)(ctx)
		})()
		o.schedule(time.Minute)
		o.schedule(time.Hour)
		pass(time.Hour - 1)
		o.expect(t, 0, false)
		if o.prober.Pending() {
			t.Error("it is pending before its time")
		}
		o.start() // a timer that was stopped too late
		o.expect(t, 0, false)
		pass(1)
		o.expect(t, 0, true)
		if !o.prober.Pending() {
			t.Error("it is not pending while it runs")
		}
		o.schedule(0) // one at a time
		o.start()
		pass(time.Second)
		o.expect(t, 1, false)
		if n := begun.Load(); n != 1 {
			t.Errorf("%d probes at a time", n)
		}
		o.mu.Lock()
		o.prober.Schedule(time.Time{}, o.start)
		o.mu.Unlock()
		pass(time.Hour)
		o.expect(t, 1, false)
	})
}

// TestCancel shows that what is cancelled has no outcome, and may be done again.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o owner
		defer o.use(answers(1))()
		o.schedule(0)
		pass(0)
		o.mu.Lock()
		o.prober.Cancel()
		o.prober.Cancel()
		o.mu.Unlock()
		pass(time.Minute)
		o.expect(t, 0, false)
		o.schedule(0)
		pass(time.Second)
		o.expect(t, 1, false)
	})
}
