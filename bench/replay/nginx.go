package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
)

// nginxConf has two caches keyed by URL, of 2 s as the gateway keeps IN PROGRESS.
// They hold what an operator could reasonably turn on in their favour: one
// call for all who miss the same URL at once, and no look at the upstream's own
// caching headers. Searches alone are cached, and nginx caches GET only.
const nginxConf = `daemon off;
worker_processes 1;
user {user};
pid {dir}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	proxy_cache_path {dir}/cache levels=1:2 keys_zone=searches:64m;
	proxy_http_version 1.1;
	proxy_set_header Connection "";
	keepalive_requests 1000000;
	{servers}
}
`

const nginxServer = `
	upstream api{n} { server {upstream}; keepalive 64; }
	server {
		listen {address};
		location / { proxy_pass http://api{n}; }
		location /verify/search/ {
			proxy_pass http://api{n};
			proxy_cache searches;
			proxy_cache_key {n}$request_uri;
			proxy_cache_valid 200 2s;
			proxy_cache_lock on;
			proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
		}
	}`

// startNginx runs nginx with a cache before each of two upstreams.
func startNginx(ctx context.Context, path string, upstreams ...string) (urls []string, stop func(), err error) {
	me, err := user.Current()
	if err != nil {
		return nil, nil, err
	}
	var a, b string
	if err := loopback.Free(&a, &b); err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "caddy-verify-bench-")
	if err != nil {
		return nil, nil, err
	}
	stop = func() { os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			stop()
		}
	}()
	var servers strings.Builder
	for i, address := range []string{a, b} {
		servers.WriteString(strings.NewReplacer("{n}", fmt.Sprint(i), "{address}", address,
			"{upstream}", strings.TrimPrefix(upstreams[i], "http://")).Replace(nginxServer))
		urls = append(urls, "http://"+address)
	}
	conf := strings.NewReplacer("{dir}", dir, "{user}", me.Username, "{servers}", servers.String()).Replace(nginxConf)
	file := filepath.Join(dir, "nginx.conf")
	if err = os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return nil, nil, err
	}
	var said bytes.Buffer
	ctx, cancel := context.WithCancel(ctx)
	nginx := exec.CommandContext(ctx, path, "-p", dir, "-e", "stderr", "-c", file)
	nginx.Stderr = &said
	nginx.Cancel = func() error { return nginx.Process.Signal(syscall.SIGTERM) }
	nginx.WaitDelay = 5 * time.Second
	exited := make(chan struct{})
	if err = nginx.Start(); err != nil {
		cancel()
		return nil, nil, err
	}
	go func() {
		_ = nginx.Wait() // what it says matters, not how it exits
		close(exited)
	}()
	stop = func() {
		cancel()
		<-exited
		os.RemoveAll(dir)
	}
	for _, address := range []string{a, b} {
		if err = loopback.Wait(address, exited); err != nil {
			return nil, nil, fmt.Errorf("starting nginx: %w\n%s", err, &said)
		}
	}
	return urls, stop, nil
}
