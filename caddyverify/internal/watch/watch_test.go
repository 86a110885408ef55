package watch

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

// watching is a watch whose file is read when it is told to have changed.
type watching struct {
	*testing.T
	read chan string
	lost chan error
}

func begin(t *testing.T, path string, poll time.Duration, newWatcher func() (*fsnotify.Watcher, error)) *watching {
	t.Helper()
	w := &watching{T: t, read: make(chan string, 1000), lost: make(chan error, 1000)}
	before := goleak.IgnoreCurrent()
	stop := files([]string{path}, poll, func() {
		content, err := os.ReadFile(path)
		if err != nil {
			content = []byte("none")
		}
		w.read <- string(content)
	}, func(err error) { w.lost <- err }, newWatcher)
	t.Cleanup(func() {
		stop()
		err := goleak.Find(before)
		for ended := time.Now(); err != nil && time.Since(ended) < time.Minute; {
			err = goleak.Find(before)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return w
}

// expect waits until the file has been read with that content.
func (w *watching) expect(content string) {
	w.Helper()
	for {
		select {
		case got := <-w.read:
			if got == content {
				return
			}
		case <-w.Context().Done():
			w.Fatalf("%q was not seen", content)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "here", "secret")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	write(t, path, "a")
	w := begin(t, path, time.Hour, fsnotify.NewWatcher)
	w.expect("a")
	write(t, path, "b")
	w.expect("b")
	must(t, os.Remove(path))
	w.expect("none")
	write(t, path, "c")
	w.expect("c")
	write(t, path+".new", "d")
	must(t, os.Rename(path+".new", path))
	w.expect("d")
	for _, content := range []string{"e", "f"} { // as Kubernetes does, and each time again
		write(t, path+content, content)
		must(t, os.Symlink("secret"+content, path+".new"))
		must(t, os.Rename(path+".new", path))
		w.expect(content)
	}
	write(t, path+"f", "g") // behind the link
	w.expect("g")
	if len(w.lost) > 0 {
		t.Error(<-w.lost)
	}
}

// TestLinks swaps each link on the way, one after the other.
func TestLinks(t *testing.T) {
	folder := t.TempDir()
	for _, version := range []string{"1", "2"} {
		must(t, os.MkdirAll(filepath.Join(folder, "data"+version), 0o700))
		write(t, filepath.Join(folder, "data"+version, "secret"), "of "+version)
	}
	link := func(target, name string) {
		must(t, os.Symlink(target, filepath.Join(folder, "new")))
		must(t, os.Rename(filepath.Join(folder, "new"), filepath.Join(folder, name)))
	}
	link("data1", "..data")
	must(t, os.Mkdir(filepath.Join(folder, "mount"), 0o700))
	must(t, os.Symlink("../..data/secret", filepath.Join(folder, "mount", "secret")))
	link(filepath.Join(folder, "mount"), "current")
	w := begin(t, filepath.Join(folder, "current", "secret"), time.Hour, fsnotify.NewWatcher)
	w.expect("of 1")
	link("data2", "..data")
	w.expect("of 2")
	link("data1", "current")
	w.expect("of 1")
	if len(w.lost) > 0 {
		t.Error(<-w.lost)
	}
}

// TestParts is told once of a file that is written in parts.
func TestParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "")
	w := begin(t, path, time.Hour, fsnotify.NewWatcher)
	w.expect("")
	begun := time.Now()
	file, err := os.Create(path) // the first change
	must(t, err)
	defer file.Close()
	for _, part := range []string{"a", "b", "c"} {
		_, err := file.WriteString(part)
		must(t, err)
	}
	slow := time.Since(begun) >= Settle // then parts of it are seen, and rightly so
	if got := <-w.read; got != "abc" && !slow {
		t.Errorf("%q was seen", got)
	}
}

// TestPoll has what cannot be watched: a folder that is gone, and a system without
// watchers left.
func TestPoll(t *testing.T) {
	t.Run("a folder is gone", func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "folder")
		path := filepath.Join(folder, "secret")
		must(t, os.Mkdir(folder, 0o700))
		write(t, path, "a")
		w := begin(t, path, time.Millisecond, fsnotify.NewWatcher)
		w.expect("a")
		must(t, os.RemoveAll(folder))
		w.expect("none")
		if err := <-w.lost; !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		must(t, os.Mkdir(folder, 0o700))
		write(t, path, "b")
		w.expect("b")
	})
	t.Run("no watcher", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secret")
		write(t, path, "a")
		none := errors.New("none left")
		w := begin(t, path, time.Millisecond, func() (*fsnotify.Watcher, error) { return nil, none })
		w.expect("a")
		write(t, path, "b")
		w.expect("b")
		if err := <-w.lost; !errors.Is(err, none) || len(w.lost) > 0 {
			t.Error(err)
		}
	})
}
