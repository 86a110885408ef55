package search

import (
	"bytes"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// class is a kind of state with a lifetime of its own.
type class uint8

const (
	notFound class = iota
	inProgress
	settling
	final
	classes
)

// lifetimes is what the Settings come to for each class.
type lifetimes struct {
	// fresh is how long a state is answered; what has none is not stored.
	fresh [classes]time.Duration
	// kept is how long it stays in memory, fresh or not.
	kept [classes]time.Duration
	// stale is how long past its lifetime it may be answered in trouble.
	stale time.Duration
	// longest is how long IN PROGRESS may be answered, if more is known of a verification.
	longest time.Duration
}

// atMost bounds what is believed of when a verification changes: then it is seen if something else
// has changed it.
const atMost = 30 * time.Second

func newLifetimes(s Settings) lifetimes {
	l := lifetimes{stale: max(s.StaleIfError, 0)}
	l.fresh = [classes]time.Duration{notFound: s.NotFound, inProgress: s.InProgress, settling: s.Settling, final: s.Final}
	for c, fresh := range l.fresh {
		l.kept[c] = fresh + l.stale
	}
	// Negative caching has no stale-if-error: in trouble, "no such verification" would be
	// a guess.
	l.kept[notFound] = s.NotFound
	l.longest = s.InProgress
	if s.Scheduled {
		l.longest = max(l.longest, atMost)
	}
	// It is needed to see that the next one is the same.
	l.kept[settling] = s.Settling + max(l.stale, s.Settling)
	return l
}

// classify finds the class of a state that the provider sent just now, given
// what it sent before (nil for nothing). ok is false for what is not stored: any
// word or number but those whose meaning is known.
func (l *lifetimes) classify(e, before *entry, now time.Duration) (c class, ok bool) {
	status := e.kind.Value().status
	switch {
	case status == wire.NoResponse:
		c = notFound
	case status == wire.InProgress:
		c = inProgress
	case status.Final():
		if before != nil && bytes.Equal(before.raw(), e.raw()) {
			e.since = before.since
		}
		c = settling
		settled := l.fresh[settling] < 0 || now-e.since >= l.fresh[settling]
		if settled && l.fresh[final] > 0 {
			c = final
		}
	default:
		return 0, false
	}
	return c, l.fresh[c] > 0
}

// live gives an entry its class and the lifetime that goes with it; or another one, if it is known for
// how long it will be unchanged.
func (l *lifetimes) live(e *entry, c class, now time.Duration, unchanged time.Duration) {
	fresh := l.fresh[c]
	if c == inProgress && unchanged > 0 {
		fresh = unchanged
	}
	e.class = c
	e.expires = now + fresh
	e.until = e.expires + l.kept[c] - l.fresh[c]
}
