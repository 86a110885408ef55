package record

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
)

// maxWaiting is how many lines wait to be written.
const maxWaiting = 1 << 12

// Recorder writes a run's lines, off the way of those who tell of them. Make it with NewRecorder.
type Recorder struct {
	open  func() (io.WriteCloser, error)
	lost  func(error)
	begun time.Time
	run   string
	key   []byte

	waiting       chan told
	missing       atomic.Uint64
	stop, stopped chan struct{}
}

// told is an entry, and when it was told.
type told struct {
	entry guard.Entry
	after time.Duration
}

// NewRecorder returns one that writes to what open returns, until Close. lost is told once when
// lines are missing: with an error where they cannot be written, with nil where too many waited.
func NewRecorder(open func() (io.WriteCloser, error), lost func(error)) *Recorder {
	r := &Recorder{
		open: open, lost: lost, begun: time.Now(), key: make([]byte, 32),
		waiting: make(chan told, maxWaiting), stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	run := make([]byte, 6)
	_, _ = rand.Read(r.key) // never fail
	_, _ = rand.Read(run)
	r.run = hex.EncodeToString(run)
	go r.write()
	return r
}

// Take has an entry written. It does not wait: where too many do, the line will be missing.
func (r *Recorder) Take(e guard.Entry) {
	select {
	case r.waiting <- told{e, time.Since(r.begun)}:
	default:
		r.missing.Add(1)
	}
}

// Missing is how many lines could not be written so far.
func (r *Recorder) Missing() uint64 { return r.missing.Load() }

// Close writes what waits, and no more.
func (r *Recorder) Close() {
	close(r.stop)
	<-r.stopped
}

func (r *Recorder) write() {
	defer close(r.stopped)
	w := writer{Recorder: r}
	defer w.close()
	for {
		select {
		case t := <-r.waiting:
			w.line(t)
		case <-r.stop:
			for {
				select {
				case t := <-r.waiting:
					w.line(t)
				default:
					return
				}
			}
		}
	}
}

// writer is the Recorder's file.
type writer struct {
	*Recorder
	to    io.WriteCloser // nil until there is something to write
	told  bool
	tried time.Time
}

// tryAgain is after how long a file that cannot be opened is tried again.
const tryAgain = 10 * time.Second

func (w *writer) line(t told) {
	if missing := w.missing.Load(); missing > 0 && !w.told {
		w.told = true
		w.lost(nil)
	}
	if w.to == nil {
		if err := w.reopen(); err != nil {
			w.fail(err)
			return
		}
	}
	l := lineOf(&t.entry, w.key)
	l.At, l.Run = w.begun.Add(t.after).Truncate(time.Millisecond), w.run
	text, err := json.Marshal(l)
	if err == nil {
		_, err = w.to.Write(append(text, '\n'))
	}
	if err != nil {
		w.fail(err)
	}
}

// errWaits tells that the file is to be tried again later.
var errWaits = errors.New("the file could not be opened a moment ago")

// reopen opens the file, and begins with the end of a line and an empty one: the last run may have
// ended within a line.
func (w *writer) reopen() error {
	if !w.tried.IsZero() && time.Since(w.tried) < tryAgain {
		return errWaits
	}
	w.tried = time.Now()
	to, err := w.open()
	if err != nil {
		return err
	}
	w.to = to
	_, err = to.Write([]byte("\n\n"))
	return err
}

// fail counts a line that is missing.
func (w *writer) fail(err error) {
	w.missing.Add(1)
	w.close()
	if !w.told {
		w.told = true
		w.lost(err)
	}
}

func (w *writer) close() {
	if w.to != nil {
		_ = w.to.Close()
		w.to = nil
	}
}
