package gateway

import (
	"sync"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// refusalsEvery is the least time between two log lines of calls that the gateway
// refuses for the same cause.
const refusalsEvery = 10 * time.Second

// mostCallers is how many callers such a line tells apart.
const mostCallers = 20

// refusals keep a flood of calls that the gateway refuses from being a flood in its
// log. The first of a cause has a line of its own. Those that follow are counted,
// and told together for as long as they come.
type refusals struct{ *floods[wire.Cause] }

// floods do so for whatever causes.
type floods[C comparable] struct {
	tell func(C, *flood)

	mu      sync.Mutex
	of      map[C]*flood // by the causes of which a line was written within refusalsEvery
	stopped bool
}

// because is what lines of webhooks have in common.
type because[R ~string] struct {
	result R
	why    string
}

// flood is the calls refused for a cause since the last line.
type flood struct {
	calls   int
	callers map[string]int
	timer   *time.Timer // to the next line
}

func newRefusals(tell func(wire.Cause, *flood)) *refusals {
	return &refusals{newFloods(tell)}
}

func newFloods[C comparable](tell func(C, *flood)) *floods[C] {
	return &floods[C]{tell: tell, of: map[C]*flood{}}
}

// count tells whether the line of an answer is left out: it is counted instead.
func (r *refusals) count(fault *wire.Fault, caller string) bool {
	if fault == nil || !fault.Refused {
		return false
	}
	return r.follows(fault.Cause, caller)
}

// follows tells whether a line is left out, since one of its cause was written just now.
func (r *floods[C]) follows(cause C, caller string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.of[cause]; f != nil {
		f.add(caller)
		return true
	}
	if !r.stopped {
		r.begin(cause)
	}
	return false
}

// begin counts what follows a line. The caller holds r.mu.
func (r *floods[C]) begin(cause C) {
	r.of[cause] = &flood{timer: time.AfterFunc(refusalsEvery, func() { r.due(cause) })}
}

func (f *flood) add(caller string) {
	f.calls++
	if caller == "" {
		return
	}
	if f.callers == nil {
		f.callers = map[string]int{}
	}
	if f.callers[caller] == 0 && len(f.callers) >= mostCallers {
		caller = "others"
	}
	f.callers[caller]++
}

// due tells of a flood and goes on counting, or ends one that has ebbed away.
func (r *floods[C]) due(cause C) {
	r.mu.Lock()
	f := r.of[cause]
	delete(r.of, cause)
	tell := f != nil && f.calls > 0
	if tell {
		r.begin(cause)
	}
	r.mu.Unlock()
	if tell {
		r.tell(cause, f)
	}
}

// stop tells of all floods, and counts no more.
func (r *floods[C]) stop() {
	r.mu.Lock()
	floods := r.of
	r.of, r.stopped = nil, true
	r.mu.Unlock()
	for cause, f := range floods {
		if f.timer.Stop(); f.calls > 0 {
			r.tell(cause, f)
		}
	}
}
