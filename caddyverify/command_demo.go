package caddyverify

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/live"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/traffic"
)

const (
	demoKey    = "demo-key"
	demoSecret = "demo-secret-of-the-gateway"
	demoCode   = "1234"
	// demoRate is how many verifications the demo's own users start a second.
	demoRate = 1
)

// cmdDemo runs the gateway with a sandbox for its upstream.
func cmdDemo(flags caddycmd.Flags) (int, error) {
	listen := flags.String("listen")
	gatewayURL, err := checkListen(listen)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	upstream, err := freeLoopback()
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	api, err := newSandbox(flags)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	credentials := &Credentials{APIKey: demoKey, APISecret: demoSecret}
	api.Credentials = credentials
	sandboxURL := "http://" + upstream
	gateway := &Handler{Account: Account{Upstream: sandboxURL, Credentials: credentials, Guard: demoGuard}}
	err = run("ERROR",
		site{listen, gateway, demoPage(gatewayURL, sandboxURL), demoRoutes(upstream)},
		site{address: upstream, handler: api, page: sandboxPage(sandboxURL)})
	if err != nil {
		return caddy.ExitCodeFailedStartup, listenError(listen, err)
	}
	sayDemo(os.Stdout, gatewayURL, sandboxURL, api.Code)
	if flags.Bool("traffic") {
		invented := traffic.Config{Gateway: gatewayURL, Code: api.Code, Rate: demoRate, Speed: api.Speed, Seed: uint64(time.Now().UnixNano())} //nolint:gosec // any seed will do
		if api.Code == "" {
			invented.Sandbox = sandboxURL
		}
		return caddy.ExitCodeFailedStartup, traffic.Run(context.Background(), invented)
	}
	select {}
}

// demoGuard refuses nothing, so that the live page shows what it would.
var demoGuard = &Guard{
	Recommended: guard.Monitor.String(),
	Budget:      &GuardRule{Values: []string{"1000 EUR/day"}},
	Prices:      []GuardPrice{{Amount: "0.15", Currency: "EUR"}},
}

func sayDemo(w io.Writer, gateway, upstream, code string) {
	if code == "" {
		code = "…"
	}
	fmt.Fprintf(w, `See it work      %[1]s/live      shows what it does, and makes the sandbox fail at a click
The gateway      %[1]s/verify/   takes calls of the Verify API, with any credentials or none
The sandbox      %[2]s/verify/   is its upstream, and accepts only the gateway's credentials
                 %[2]s/sandbox/calls    tells what it received, and the codes
                 %[2]s/sandbox/faults   makes it fail: curl -d 'fault=search delay 2s' …

Start a verification, enter its code, look at its state:

  id=$(curl -s %[1]s/verify/json -d number=447700900000 -d brand=Demo | tee /dev/stderr | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
  curl -s %[1]s/verify/check/json -d request_id=$id -d code=%[3]s
  curl -s "%[1]s/verify/search/json?request_id=$id"

code: %[3]s        Ctrl-C ends it
`, gateway, upstream, code)
}

// demoRoutes are what the demo has besides the gateway: the live page, which a browser is
// led to, the metrics, and on the same machine the sandbox's faults.
func demoRoutes(sandbox string) caddyhttp.RouteList {
	browser := at("/")
	browser[0]["header"] = caddyconfig.JSON(caddyhttp.MatchHeader{"Accept": {"*text/html*"}}, nil)
	faults := at(demoFaults)
	faults[0]["remote_ip"] = caddyconfig.JSON(caddyhttp.MatchRemoteIP{Ranges: []string{"127.0.0.0/8", "::1"}}, nil)
	return caddyhttp.RouteList{
		{
			MatcherSetsRaw: browser,
			HandlersRaw: handle(caddyhttp.StaticResponse{
				StatusCode: caddyhttp.WeakString("302"),
				Headers:    http.Header{"Location": {live.Path}},
			}, "static_response"),
			Terminal: true,
		},
		{HandlersRaw: handle(Live{SandboxFaults: demoFaults}, "verify_live")},
		{HandlersRaw: handle(Health{}, "verify_health")},
		{MatcherSetsRaw: at("/metrics"), HandlersRaw: handle(struct{}{}, "metrics")},
		{MatcherSetsRaw: faults, HandlersRaw: handle(map[string]any{
			"upstreams": []map[string]string{{"dial": sandbox}},
		}, "reverse_proxy")},
	}
}

const demoFaults = "/sandbox/faults"

func demoPage(gateway, upstream string) string {
	return fmt.Sprintf(`caddy-verify: a gateway to the Verify API, here with a sandbox behind it. Nothing is sent, nothing costs anything.
Start a verification:  curl %[1]s/verify/json -d number=447700900000 -d brand=Demo
What came of it:       curl %[2]s/sandbox/calls
`, gateway, upstream)
}
