package caddyverify

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// underWay are the requests, checks and controls of the process. They are not a
// handler's: after a reload those of the last configuration may be under way still
// when the process exits.
var underWay calls

// calls counts calls, so that somebody can wait for their end.
type calls struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed when n is 0; made for those who wait
}

func (c *calls) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *calls) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

func (c *calls) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// wait returns when no call is under way, or an error when ctx ends before.
func (c *calls) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.none == nil {
		c.none = make(chan struct{})
	}
	none := c.none
	c.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d calls to the Verify API were still under way: %w", c.count(), context.Cause(ctx))
	}
}

// finishWith has the server that ctx belongs to wait for calls whose clients have
// left when it stops, until its grace_period is over. By itself a server does so for
// HTTP/1.1 alone: over HTTP/2 and 3 a stream that the client has closed is done with.
func (h *Handler) finishWith(ctx caddy.Context) {
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		server.RegisterOnStop(h.finish)
	}
}

// finish waits where nobody else does. In a reload the process goes on, and with it
// the calls.
func (h *Handler) finish(ctx context.Context) error {
	if reloaded := caddy.ActiveContext().Context != nil; reloaded && !caddy.Exiting() {
		return nil
	}
	if n := underWay.count(); n > 0 {
		h.logger.LogAttrs(ctx, slog.LevelInfo, "waiting for calls whose clients have left", slog.Int("calls", n))
	}
	return underWay.wait(ctx)
}
