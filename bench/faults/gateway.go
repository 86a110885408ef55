package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the adapter
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"
	_ "github.com/caddyserver/caddy/v2/modules/logging"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
	_ "github.com/caddyverify/caddy-verify/caddyverify"
)

// upstreamTimeout is shorter than the default, so that timeouts take little of the run.
const upstreamTimeout = time.Second

// caddyfile has the defaults but for what would make the run long: the provider's
// limit, the timeout, and the time for which a circuit stays open.
const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	storage file_system {folder}
	servers {
		protocols h1 h2c
	}
	log {
		output file {folder}/log {
			roll_disabled
		}
		format json
		level WARN
	}
}
http://{address} {
	bind 127.0.0.1
	verify {
		upstream {upstream}
		credentials {key} {secret}
		method {method}
		timeout {timeout}
		limit off
		breaker {
			open_for 200ms
		}
	}
}
`

// gateway is a Caddy in this process.
type gateway struct{ url, folder string }

func (o options) startGateway(upstream string) (*gateway, error) {
	folder, err := os.MkdirTemp("", "caddy-verify-faults-")
	if err != nil {
		return nil, err
	}
	var address string
	if err := loopback.Free(&address); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	text := strings.NewReplacer("{folder}", folder, "{address}", address, "{upstream}", upstream,
		"{key}", accountKey, "{secret}", accountSecret, "{method}", o.method, "{timeout}", upstreamTimeout.String()).Replace(caddyfile)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the gateway: %w", err), os.RemoveAll(folder))
	}
	return &gateway{"http://" + address, folder}, nil
}

// stop ends Caddy, which finishes what is under way, and removes its files.
func (g *gateway) stop() error { return errors.Join(caddy.Stop(), os.RemoveAll(g.folder)) }

// logged counts the lines of Caddy's log: the openings of each circuit, and the
// panics, of which there are to be none.
func (g *gateway) logged() (openings map[string]int, panics int, err error) {
	file, err := os.Open(filepath.Join(g.folder, "log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil // nothing to say
	}
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = file.Close() }() // which was read only
	openings = map[string]int{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Msg, Breaker, To string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, 0, fmt.Errorf("reading the log: %w", err)
		}
		switch {
		case line.Msg == "breaker changed" && line.To == "open":
			openings[line.Breaker]++
		case strings.Contains(line.Msg, "panic"):
			panics++
		}
	}
	return openings, panics, lines.Err()
}
