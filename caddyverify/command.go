package caddyverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "verify",
		Short: "Tries out and tests the gateway to the Verify API",
		Long:  "Runs the gateway to the Verify API on a sandbox, or the sandbox alone. No account is needed.",
		CobraFunc: func(cmd *cobra.Command) {
			demo := &cobra.Command{
				Use:   "demo [--listen <address>]",
				Short: "Runs the gateway and, behind it, a sandbox of the Verify API",
				Args:  cobra.NoArgs,
				RunE:  caddycmd.WrapCommandFuncForCobra(cmdDemo),
			}
			demo.Flags().String("listen", ":8080", "Address to listen on")
			sandbox := &cobra.Command{
				Use:   "sandbox [--listen <address>] [--credentials <api_key>:<api_secret>] [--code <pin>] [--speed <factor>] [--limit <n>/s|off] [--fault <fault>]",
				Short: "Runs a sandbox of the Verify API",
				Long: `
Runs a Verify API to develop and test against: it keeps verifications, sends
nothing and costs nothing. The codes to enter are in the log, and
GET /sandbox/calls tells what it received.

A fault is written as "<operation>|* <kind> [<value>] [<share>%]", for example
--fault "search delay 2s" --fault "* reset_after 5%". Kinds: bomb, big, close,
deep, delay, drip, dtd, duplicate_status, echo, garbage, hang, html, http,
no_content_type, redirect, reset_after, status, surplus, truncate.`,
				Args: cobra.NoArgs,
				RunE: caddycmd.WrapCommandFuncForCobra(cmdSandbox),
			}
			sandbox.Flags().String("listen", "127.0.0.1:8081", "Address to listen on")
			sandbox.Flags().String("credentials", "", "Credentials that callers must present, <api_key>:<api_secret> (default: any)")
			sandbox.Flags().String("code", "", "The right code of every verification (default: a random one for each)")
			sandbox.Flags().Float64("speed", 1, "How many seconds pass in a verification in each real second")
			sandbox.Flags().String("limit", "30/s", "How many calls are accepted in a second, or off")
			sandbox.Flags().StringArray("fault", nil, "What goes wrong; may be repeated")
			cmd.Args = cobra.NoArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.AddCommand(demo, sandbox)
		},
	})
}

const (
	demoKey    = "demo-key"
	demoSecret = "demo-secret-of-the-gateway"
	demoCode   = "1234"
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
	credentials := &Credentials{APIKey: demoKey, APISecret: demoSecret}
	err = run("ERROR", map[string]caddyhttp.MiddlewareHandler{
		listen:   &Handler{Upstream: "http://" + upstream, Credentials: credentials},
		upstream: &Sandbox{Credentials: credentials, Code: demoCode},
	})
	if err != nil {
		return caddy.ExitCodeFailedStartup, listenError(listen, err)
	}
	sayDemo(os.Stdout, gatewayURL, "http://"+upstream)
	select {}
}

func sayDemo(w io.Writer, gateway, upstream string) {
	fmt.Fprintf(w, `The gateway      %[1]s/verify/   takes calls of the Verify API, with any credentials or none
The sandbox      %[2]s/verify/   is its upstream, and accepts only the gateway's credentials
                 %[2]s/sandbox/calls tells what it received

Start a verification, enter its code, look at its state:

  id=$(curl -s %[1]s/verify/json -d number=447700900000 -d brand=Demo | tee /dev/stderr | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
  curl -sw "\n" %[1]s/verify/check/json -d request_id=$id -d code=%[3]s
  curl -sw "\n" "%[1]s/verify/search/json?request_id=$id"

code: %[3]s        Ctrl-C ends it
`, gateway, upstream, demoCode)
}

// cmdSandbox runs the sandbox alone.
func cmdSandbox(flags caddycmd.Flags) (int, error) {
	listen := flags.String("listen")
	url, err := checkListen(listen)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	handler := &Sandbox{Code: flags.String("code"), Speed: flags.Float64("speed")}
	if handler.Speed <= 0 {
		return caddy.ExitCodeFailedStartup, errors.New("--speed: write a number above 0, for example 60 for a minute per second")
	}
	if handler.Limit, err = parseRate(flags.String("limit")); err != nil {
		return caddy.ExitCodeFailedStartup, errors.New("--limit: write a number per second such as 30/s, or off")
	}
	if value := flags.String("credentials"); value != "" {
		key, secret, ok := strings.Cut(value, ":")
		if !ok {
			return caddy.ExitCodeFailedStartup, errors.New("--credentials: write <api_key>:<api_secret>")
		}
		handler.Credentials = &Credentials{APIKey: key, APISecret: secret}
	}
	if handler.Faults, err = flags.GetStringArray("fault"); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if _, err := handler.config(); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if err := run("INFO", map[string]caddyhttp.MiddlewareHandler{listen: handler}); err != nil {
		return caddy.ExitCodeFailedStartup, listenError(listen, err)
	}
	fmt.Printf("The sandbox %[1]s/verify/ is ready; %[1]s/sandbox/calls tells what it received. Ctrl-C ends it.\n", url)
	select {}
}

// run starts Caddy with one server for each address, and returns once it serves.
func run(level string, handlers map[string]caddyhttp.MiddlewareHandler) error {
	caddy.TrapSignals()
	app := caddyhttp.App{Servers: map[string]*caddyhttp.Server{}}
	for address, handler := range handlers {
		name := handler.(caddy.Module).CaddyModule().ID.Name()
		app.Servers[name] = &caddyhttp.Server{
			Listen: []string{address},
			Routes: caddyhttp.RouteList{{
				HandlersRaw: []json.RawMessage{caddyconfig.JSONModuleObject(handler, "handler", name, nil)},
			}},
		}
	}
	no := false
	return caddy.Run(&caddy.Config{
		Admin: &caddy.AdminConfig{Disabled: true, Config: &caddy.ConfigSettings{Persist: &no}},
		Logging: &caddy.Logging{Logs: map[string]*caddy.CustomLog{
			"default": {BaseLog: caddy.BaseLog{Level: level}},
		}},
		AppsRaw: caddy.ModuleMap{"http": caddyconfig.JSON(app, nil)},
	})
}

// checkListen makes sure that an address can be listened on and returns the URL
// to reach it. Caddy shares a taken port with another Caddy rather than fail.
func checkListen(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if number, e := strconv.Atoi(port); err != nil || e != nil || number < 1 || number > 65535 {
		return "", fmt.Errorf("--listen %s: write an address such as :8080 or 127.0.0.1:8080", address)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", listenError(address, err)
	}
	_ = listener.Close()
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

func listenError(address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("port %s is taken: choose another with --listen, for example --listen :8090", port)
	}
	return err
}

// freeLoopback finds a port that nobody listens on.
func freeLoopback() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
