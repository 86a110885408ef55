// Package watch tells when files may have changed.
package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// Settle is how long nothing happens before changes are told of: who writes a file may
	// write it in parts.
	Settle = 100 * time.Millisecond
	// patience is how many times that they are waited for at the most.
	patience = 20
	// Poll is how often files are looked at where they cannot be watched.
	Poll = 10 * time.Second
)

// Files has changed called now and whenever files may have changed, one call at a time,
// until it is stopped; stopping waits for the call under way. A file is known by its path:
// one that takes its place counts, as does any symbolic link on the way to it, such as
// Kubernetes swaps to update a volume. Where this cannot be watched, lost is told why, and
// changed is called every Poll until it can.
func Files(paths []string, changed func(), lost func(error)) (stop func()) {
	return files(paths, Poll, changed, lost, fsnotify.NewWatcher)
}

type watch struct {
	paths   []string
	poll    time.Duration
	changed func()
	lost    func(error)
	watcher *fsnotify.Watcher // nil where the system has none left
	err     error             // why
	watched []string
	blind   bool
}

func files(paths []string, poll time.Duration, changed func(), lost func(error), newWatcher func() (*fsnotify.Watcher, error)) (stop func()) {
	w := &watch{paths: paths, poll: poll, changed: changed, lost: lost}
	w.watcher, w.err = newWatcher()
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		w.run(stopping)
	}()
	return func() {
		close(stopping)
		<-stopped
	}
}

func (w *watch) run(stopping <-chan struct{}) {
	var events <-chan fsnotify.Event
	var errs <-chan error
	if w.watcher != nil && w.err == nil {
		events, errs = w.watcher.Events, w.watcher.Errors
		defer func() { _ = w.watcher.Close() }()
	}
	var first time.Time // event that is not told of
	timer := time.NewTimer(0)
	defer timer.Stop()
	happened := func() {
		if first.IsZero() {
			first = time.Now()
		}
		timer.Reset(max(0, min(Settle, time.Until(first.Add(patience*Settle)))))
	}
	for {
		select {
		case <-stopping:
			return
		case <-events:
			happened()
		case <-errs: //nolint:errcheck // whichever it is, events may be lost
			happened()
		case <-timer.C:
			first = time.Time{}
			w.look()
			w.changed()
			if w.blind && first.IsZero() {
				timer.Reset(w.poll)
			}
		}
	}
}

// look watches what is on the way to the files now. It comes before they are read, so
// that no change is between the two.
func (w *watch) look() {
	err := w.err
	if err == nil {
		for _, path := range w.watched {
			_ = w.watcher.Remove(path) // it may be another by that name now
		}
		w.watched = nil
		for _, path := range w.paths {
			if e := w.add(path); e != nil {
				err = e
			}
		}
	}
	if err != nil && !w.blind {
		w.lost(err)
	}
	w.blind = err != nil
}

func (w *watch) add(path string) error {
	places, err := places(path)
	for _, place := range places {
		if slices.Contains(w.watched, place) {
			continue
		}
		if e := w.watcher.Add(place); e != nil {
			err = e
			continue
		}
		w.watched = append(w.watched, place)
	}
	return err
}

// maxLinks is how many symbolic links there may be on the way to a file.
const maxLinks = 40

// places are the folders in which something decides what a path leads to, and the file
// itself, whose folder knows nothing of what comes to it from elsewhere if it is mounted.
func places(path string) ([]string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	var all []string
	rest := strings.Split(strings.TrimPrefix(path, "/"), "/")
	at := "/"
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		switch {
		case err != nil:
			if len(rest) > 0 {
				return all, err
			}
			return append(all, at), nil // it may come yet
		case info.Mode()&fs.ModeSymlink == 0:
			if len(rest) == 0 {
				return append(all, at, next), nil
			}
			at = next
			continue
		}
		all = append(all, at)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return all, &fs.PathError{Op: "readlink", Path: next, Err: fs.ErrInvalid}
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(strings.Trim(filepath.Clean(target), "/"), "/"), rest...)
	}
	return all, nil
}
