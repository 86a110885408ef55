package caddyverify

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/breaker"
)

// Breaker says when the gateway stops to call an upstream in trouble. There are
// two circuits for each account: one for checks and searches, one for requests
// and controls. A circuit opens when half of 20 or more outcomes within the
// window are failures, or when 5 connections in a row could not be made. While it
// is open, searches are answered from memory as far as possible, and all else at
// once with status 5. When its time is over the gateway itself searches for an
// unused request_id, and calls flow again once the upstream has answered that.
type Breaker struct {
	// Off calls the upstream whatever becomes of it. Default: `false`.
	Off bool `json:"off,omitempty"`

	// Window is how long an outcome counts; at least three times the timeout.
	// Default: `30s`, or three times the timeout if that is longer.
	Window caddy.Duration `json:"window,omitempty"`

	// OpenFor is how long a circuit stays open before the upstream is asked for a
	// sign of life: 100 ms to a minute. It doubles with each time there is none, up to
	// a minute.
	// Default: `5s`.
	OpenFor caddy.Duration `json:"open_for,omitempty"`
}

func (b *Breaker) settings(timeout time.Duration) breaker.Settings {
	s := breaker.Settings{Window: time.Duration(b.Window), OpenFor: time.Duration(b.OpenFor), Timeout: timeout}
	if s.Window == 0 {
		s.Window = max(30*time.Second, 3*timeout)
	}
	return s
}

func parseBreaker(d *caddyfile.Dispenser) (*Breaker, error) {
	b := new(Breaker)
	if d.NextArg() {
		if d.Val() != "off" || d.CountRemainingArgs() > 0 {
			return nil, d.Err("breaker takes a block in braces, or off")
		}
		b.Off = true
		return b, nil
	}
	return b, block(d, func(name string) (err error) {
		switch name {
		case "window":
			b.Window, err = durationArg(d, name)
		case "open_for":
			b.OpenFor, err = durationArg(d, name)
		default:
			return d.Errf("unrecognized subdirective of breaker %q", name)
		}
		return err
	})
}
