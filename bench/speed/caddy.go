package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// caddyfile is that of every side that is a Caddy; they differ in the handler and
// in whether there are spans.
const caddyfile = `{
	admin {admin}
	persist_config off
	auto_https off
	storage file_system {dir}
	log {
		output discard
		level PANIC
	}
	{metrics}
}
http://{address} {
	bind 127.0.0.1
	{tracing}
	{handler}
}
`

// handlers are what the sides of Caddy are about.
//
// respond is what Caddy itself costs: it answers everything with a text as long as
// a search's answer, or as that of one for ten. That text has no braces, in which Caddy would look for
// placeholders, and does not begin as JSON does.
//
// caddy-verify is as shipped, but for the provider's limit, for lifetimes that end
// in no run, and for settle, whose searches would be counted as misses.
//
// reverse_proxy is what one would write without a plugin.
var handlers = map[string]string{
	"respond":   `respond {text}`,
	"respond10": `respond {text10}`,
	"floor":     `floor {upstream} {key} {secret}`,
	"caddy-verify": `verify {
		upstream {upstream}
		credentials {key} {secret}
		limit off
		cache {
			settling 24h
			final 24h
		}
	}`,
	"reverse_proxy": `uri query {
		-api_key
		-api_secret
	}
	reverse_proxy {upstream} {
		header_up Authorization "{basic}"
		header_up Host {upstream_hostport}
	}`,
}

// tracings are how Caddy is told to make spans. That of sampling is in docs/telemetry.md.
var tracings = map[string]string{
	"": "",
	tracing: `tracing {
		span verify
	}`,
	sampling: `@traced not {
		not header_regexp Traceparent [13579bdf]$
		not vars_regexp {http.request.uuid} ^0(0|1|2[0-8])
	}
	tracing @traced {
		span verify
	}`,
}

// The texts of respond are as long as the answers to a search for one and for ten.
var (
	respondText   = strings.Repeat("x", len(state(requestID(0))))
	respondText10 = strings.Repeat("x", len(search(nil, slices.Repeat([]string{requestID(0)}, 10))))
)

// caddyConfig is the Caddyfile of a side.
func caddyConfig(side, dir, address, admin, upstream string, metrics bool) string {
	handler, spans := variant(side)
	numbers := ""
	if metrics {
		numbers = "metrics"
	}
	if admin == "" {
		admin = "off"
	}
	text := strings.NewReplacer("{metrics}", numbers, "{tracing}", tracings[spans], "{handler}", handlers[handler]).Replace(caddyfile)
	_, port, _ := strings.Cut(address, ":")
	return strings.NewReplacer(
		// Without a host, as shipped: Caddy has none to compare.
		"{address}", ":"+port, "{dir}", dir, "{admin}", admin, "{upstream}", upstream,
		"{key}", accountKey, "{secret}", accountSecret, "{basic}", accountBasic,
		"{text}", respondText, "{text10}", respondText10,
	).Replace(text)
}

// sampled is the share of calls whose spans OpenTelemetry keeps, and exportEvery the time
// in which they are sent: shorter than its 5 s, to fall into the run.
const (
	sampled     = "0.01"
	exportEvery = time.Second / 2
)

// caddyEnv has what the side needs from its environment.
func caddyEnv(side, dir, sink string) []string {
	env := []string{"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}
	_, spans := variant(side)
	switch spans {
	case "":
		return env
	case tracing:
		env = append(env, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG="+sampled)
	}
	return append(env,
		"OTEL_TRACES_EXPORTER=otlp",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+sink+"/"+side,
		"OTEL_METRICS_EXPORTER=none",
		"OTEL_LOGS_EXPORTER=none",
		"OTEL_BSP_SCHEDULE_DELAY="+strconv.FormatInt(exportEvery.Milliseconds(), 10),
	)
}
