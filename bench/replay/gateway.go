package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the adapter
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
	_ "github.com/caddyverify/caddy-verify/caddyverify"
)

// caddyfile has three gateways: one that sends every search upstream, one with
// the default lifetimes, shortened by the speed of the replay, and one whose account nobody else
// uses. None keeps the provider's limit, so that all searches are seen that would go upstream.
const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	storage file_system {storage}
	log {
		level PANIC
	}
}
http://{off} {
	bind 127.0.0.1
	verify {
		upstream {off_upstream}
		credentials {key} {secret}
		limit off
		cache off
	}
}
http://{on} {
	bind 127.0.0.1
	verify {
		upstream {on_upstream}
		credentials {key} {secret}
		limit off
		cache {
			in_progress {2s}
			settling {1m}
			final {24h}
			not_found {1s}
		}
	}
}
http://{exclusive} {
	bind 127.0.0.1
	verify {
		upstream {exclusive_upstream}
		credentials {key} {secret}
		limit off
		exclusive
	}
}
`

// startGateways runs a Caddy in this process and returns the URLs of the gateway
// without the cache, of the one with it, and of that with an account of its own.
func startGateways(o options, offUpstream, onUpstream, exclusiveUpstream string) (urls [3]string, stop func(), err error) {
	storage, err := os.MkdirTemp("", "caddy-verify-bench-")
	if err != nil {
		return urls, nil, err
	}
	stop = func() {
		_ = caddy.Stop() // nothing is left to be saved
		os.RemoveAll(storage)
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	var off, on, exclusive string
	if err := loopback.Free(&off, &on, &exclusive); err != nil {
		return urls, nil, err
	}
	words := []string{
		"{storage}", storage, "{off}", off, "{on}", on, "{off_upstream}", offUpstream, "{on_upstream}", onUpstream,
		"{exclusive}", exclusive, "{exclusive_upstream}", exclusiveUpstream,
		"{key}", accountKey, "{secret}", accountSecret,
	}
	for _, lifetime := range []string{"2s", "1m", "24h", "1s"} {
		d, err := time.ParseDuration(lifetime)
		if err != nil {
			return urls, nil, err
		}
		words = append(words, "{"+lifetime+"}", o.real(d).String())
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(
		[]byte(strings.NewReplacer(words...).Replace(caddyfile)), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		err = caddy.Load(config, true)
	}
	if err != nil {
		return urls, nil, fmt.Errorf("starting the gateways: %w", err)
	}
	return [3]string{"http://" + off, "http://" + on, "http://" + exclusive}, stop, nil
}
