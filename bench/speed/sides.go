package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
)

// side is one of the proxies compared. All run all the time; those whose turn it is
// not have nothing to do.
type side struct {
	name    string
	url     string
	admin   string // where Caddy can be asked for profiles, "" if it cannot
	process *process
}

// build builds a command below this one.
func (b *bench) build(ctx context.Context, name string) (string, error) {
	file := b.file(name)
	build := exec.CommandContext(ctx, "go", "build", "-o", file, "github.com/caddyverify/caddy-verify/bench/speed/"+name)
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s, which must be done in a checkout: %w\n%s", name, err, said)
	}
	return file, nil
}

// startSide writes the side's configuration and runs it.
func (b *bench) startSide(ctx context.Context, name string) (*side, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var address, admin string
	err := loopback.Free(&address, &admin)
	if err != nil {
		return nil, err
	}
	s := &side{name: name, url: "http://" + address}
	file := filepath.Join(dir, "config")
	var config string
	var env, words []string
	switch name {
	case "nginx":
		config, err = nginxConfig(dir, address, b.upstream.url)
		words = []string{b.nginx, "-p", dir, "-e", "stderr", "-c", file}
	case "haproxy":
		config = haproxyConfig(address, b.upstream.url)
		words = []string{b.haproxy, "-db", "-f", file}
	default:
		if b.profile != "" || b.soak > 0 {
			s.admin = admin
		}
		config, env = caddyConfig(name, dir, address, s.admin, b.upstream.url, b.metrics), caddyEnv(name, dir, b.sink.url)
		words = []string{b.caddy, "run", "--adapter", "caddyfile", "--config", file}
	}
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	if s.process, err = start(ctx, address, env, b.cores.of(words...)...); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return s, nil
}
