package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
)

// process is a program that runs beside this one.
type process struct {
	command *exec.Cmd
	said    bytes.Buffer // to be read once it has exited
	exited  chan struct{}
	cancel  context.CancelFunc
}

// start runs a program, whose environment is this one's without OpenTelemetry's
// settings, and these. It waits until the program listens.
func start(ctx context.Context, address string, env []string, words ...string) (*process, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &process{command: exec.CommandContext(ctx, words[0], words[1:]...), exited: make(chan struct{}), cancel: cancel}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "OTEL_") {
			p.command.Env = append(p.command.Env, variable)
		}
	}
	p.command.Env = append(p.command.Env, env...)
	p.command.Stdout, p.command.Stderr = &p.said, &p.said
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = 10 * time.Second
	if err := p.command.Start(); err != nil {
		cancel()
		return nil, err
	}
	go func() {
		_ = p.command.Wait() // what it says matters, not how it exits
		close(p.exited)
	}()
	if err := loopback.Wait(address, p.exited); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w\n%s", err, &p.said)
	}
	return p, nil
}

// stop ends the program in its own way.
func (p *process) stop() {
	p.cancel()
	<-p.exited
}

// last is what a program has said that should not have ended by itself.
func (p *process) last() string {
	select {
	case <-p.exited:
		return "; it has ended and said:\n" + p.said.String()
	default:
		return ""
	}
}

func (p *process) pid() int { return p.command.Process.Pid }
