package gateway

import (
	"context"
	"fmt"
	"sync"
)

// Running counts requests, checks and controls, so that somebody can wait for their end.
// It is shared by all Gateways of a process: after a reload calls of the last
// configuration may be under way still when the process exits.
type Running struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0; made for those who wait
}

func (r *Running) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
}

func (r *Running) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n--; r.n == 0 && r.none != nil {
		close(r.none)
		r.none = nil
	}
}

// Count is how many there are now.
func (r *Running) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// Wait returns when no call is under way, or an error when ctx ends before.
func (r *Running) Wait(ctx context.Context) error {
	r.mu.Lock()
	if r.n == 0 {
		r.mu.Unlock()
		return nil
	}
	if r.none == nil {
		r.none = make(chan struct{})
	}
	none := r.none
	r.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d calls to the Verify API were still under way: %w", r.Count(), context.Cause(ctx))
	}
}
