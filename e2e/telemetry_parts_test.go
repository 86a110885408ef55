//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// part is a real program that the gateway's telemetry goes to. It is stopped with the test that started it.
type part struct {
	name   string
	cmd    *exec.Cmd
	output output
	exited chan struct{}
	err    error // what it exited with, once it has
}

func startPart(t *testing.T, cmd *exec.Cmd) *part {
	t.Helper()
	p := &part{name: filepath.Base(cmd.Path), cmd: cmd, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s said:\n%s", p.name, p.output.String())
		}
	})
	return p
}

// ready waits until the part answers at a URL at all.
func (p *part) ready(t *testing.T, url string) {
	t.Helper()
	eventually(t, p.name+" answers", func() error {
		select {
		case <-p.exited:
			t.Fatalf("%s exited: %v", p.name, p.err)
		default:
		}
		response, err := http.Get(url)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("HTTP %d", response.StatusCode)
		}
		return nil
	})
}

// stop has the part write out what it holds.
func (p *part) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.exited:
		if p.err != nil {
			t.Errorf("%s exited with %v, interrupted", p.name, p.err)
		}
	case <-time.After(patience):
		t.Errorf("%s still runs %s after an interrupt", p.name, patience)
	}
}

// eventually waits until something holds, and tells why it does not if that takes too long.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in %s: %s: %v", patience, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// few reports the first of many failures that are most likely alike.
type few struct {
	t *testing.T
	n int
}

func (f *few) errorf(format string, args ...any) {
	f.t.Helper()
	switch f.n++; {
	case f.n < 10:
		f.t.Errorf(format, args...)
	case f.n == 10:
		f.t.Errorf("and so on, with: "+format, args...)
	}
}

// collectorBinary is the OpenTelemetry Collector of the folder collector, built once unless E2E_COLLECTOR names one.
var collectorBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("E2E_COLLECTOR"); path != "" {
		return filepath.Abs(path)
	}
	path := filepath.Join(scratch, "collector")
	if out, err := exec.Command("go", "build", "-C", "collector", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the Collector: %w\n%s", err, out)
	}
	return path, nil
})

// collector is an OpenTelemetry Collector that writes what it receives into files.
type collector struct {
	*part
	endpoint string
	folder   string
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	path, err := collectorBinary()
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	c := &collector{endpoint: "http://" + address, folder: t.TempDir()}
	cmd := exec.Command(path, "--config", filepath.Join("collector", "config.yaml"))
	cmd.Env = append(os.Environ(), "COLLECTOR_ADDRESS="+address, "COLLECTOR_FOLDER="+c.folder)
	c.part = startPart(t, cmd)
	c.ready(t, c.endpoint)
	return c
}
