// Package e2e tests the gateway from outside: a real Caddy with the plugin in it, real SDKs in front, servers made of
// the API's own documents behind, and what they say to each other on the wire. These tests need more than Go does, so they have a build tag of their own:
//
//	npm ci --prefix e2e/sdk
//	npm ci --prefix e2e/prism
//	apt-get install prometheus jq redis-server
//	go test -tags e2e ./e2e
//
// With the tag, whatever is missing fails a test and says how to get it; nothing is skipped. The tests build cmd/caddy,
// or take the Caddy that E2E_CADDY names, h2spec, and an OpenTelemetry Collector, or take the one that E2E_COLLECTOR names.
//
// E2E_RELOADS=full and E2E_SOAK=30m have two of them run for longer; see docs/testing.md.
package e2e
