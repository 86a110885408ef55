package gateway

import (
	"io"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/record"
)

// Record is where an account's starts are written down.
type Record struct {
	// Path tells one from another.
	Path string
	// Open opens it to write at its end.
	Open func() (io.WriteCloser, error)
}

// recording is a Record that is being written.
type recording struct {
	*record.Recorder
	path string
}

// recordTo has starts be written to another place from now on, nil for nowhere. The caller holds
// a.configuring.
func (a *Account) recordTo(to *Record) {
	old := a.recording.Load()
	switch {
	case to == nil && old == nil, to != nil && old != nil && to.Path == old.path:
		return
	case to == nil:
		a.guard.Record(nil)
		a.recording.Store(nil)
	default:
		next := &recording{record.NewRecorder(to.Open, func(why error) { a.publish(RecordIncomplete{why}) }), to.Path}
		a.guard.Record(next.Take)
		a.recording.Store(next)
	}
	if old != nil {
		old.Close()
	}
}
