package caddyverify

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "verify",
		Short: "Tries out and operates the gateway to the Verify API",
		Long:  "Runs the gateway to the Verify API on a sandbox, or the sandbox alone, for which no account is\nneeded; tells of a gateway that runs, or what is wrong with one.",
		CobraFunc: func(cmd *cobra.Command) {
			demo := &cobra.Command{
				Use:   "demo [--listen <address>] [--traffic=false] [--code <pin>] [--speed <factor>] [--limit <n>/s|off] [--fault <fault>]",
				Short: "Runs the gateway and, behind it, a sandbox of the Verify API",
				Long: `
Runs the gateway and, behind it, a sandbox of the Verify API that accepts only the
gateway's credentials. All flags but --listen and --traffic are the sandbox's. The page
/live shows what the gateway does, and switches faults of the sandbox on and off.
` + aboutFaults,
				Args: cobra.NoArgs,
				RunE: caddycmd.WrapCommandFuncForCobra(cmdDemo),
			}
			demo.Flags().String("listen", ":8080", "Address to listen on")
			demo.Flags().Bool("traffic", true, "Have invented users make calls, so that there is something to see")
			sandboxFlags(demo, demoCode)
			alone := &cobra.Command{
				Use:   "sandbox [--listen <address>] [--api v1|v2|v1,v2] [--credentials <api_key>:<api_secret>] [--webhook <url> --signature-secret <secret>] [--code <pin>] [--speed <factor>] [--limit <n>/s|off] [--fault <fault>]",
				Short: "Runs a sandbox of the Verify API",
				Long: `
Runs a Verify API to develop and test against: it keeps verifications, sends
nothing and costs nothing. The codes to enter are in the log and at
GET /sandbox/calls, which tells what it received.

With --webhook version 2 tells there of verifications that were started with a JWT,
signed with --signature-secret. As in a Caddyfile, {file./path} and {env.NAME} keep a
secret out of the command line.
` + aboutFaults,
				Args: cobra.NoArgs,
				RunE: caddycmd.WrapCommandFuncForCobra(cmdSandbox),
			}
			alone.Flags().String("listen", "127.0.0.1:8081", "Address to listen on")
			alone.Flags().StringSlice("api", nil, "The API: v1, v2, or v1,v2 for both (default: v1)")
			alone.Flags().String("credentials", "", "Credentials that callers must present, <api_key>:<api_secret> (default: any)")
			alone.Flags().String("webhook", "", "URL that is told of verifications of v2 (default: none)")
			alone.Flags().String("signature-secret", "", "What webhooks are signed with, for example {file./run/secrets/signature_secret}")
			sandboxFlags(alone, "")
			cmd.Use = "verify" // Caddy ends it with a blank, for arguments
			cmd.Args = cobra.NoArgs
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			cmd.AddCommand(demo, alone, versionCommand(), healthCommand(), trafficCommand(), doctorCommand(), guardCommand())
			cmd.AddCommand(adminCommands()...)
		},
	})
}

// aboutFaults ends the help of both commands.
var aboutFaults = `
A fault is written as "<operation>|* <kind> [<value>] [<share>%]", for example
--fault "search delay 2s" --fault "* reset_after 5%". Kinds: ` + strings.Join(sandbox.FaultKinds(), ", ") + `.
POST /sandbox/faults changes faults, code, speed and limit while it runs; see
docs/sandbox.md.`

// sandboxFlags are the flags of a sandbox's settings.
func sandboxFlags(cmd *cobra.Command, code string) {
	cmd.Flags().String("code", code, "The right code of every verification; empty for a random one for each")
	cmd.Flags().Float64("speed", 1, "How many seconds pass in a verification in each real second")
	cmd.Flags().String("limit", "30/s", "How many calls the sandbox accepts in a second, or off")
	cmd.Flags().StringArray("fault", nil, "What goes wrong; may be repeated")
}

// newSandbox makes a sandbox of its flags.
func newSandbox(flags caddycmd.Flags) (s *Sandbox, err error) {
	s = &Sandbox{Code: flags.String("code"), Speed: flags.Float64("speed")}
	if s.Speed <= 0 {
		return nil, errors.New("--speed: write a number above 0, for example 60 for a minute per second")
	}
	if s.Limit, err = parseRate(flags.String("limit")); err != nil {
		return nil, errors.New("--limit: write a number per second such as 30/s, or off")
	}
	if s.Faults, err = flags.GetStringArray("fault"); err != nil {
		return nil, err
	}
	_, err = s.config()
	return s, err
}

// aloneSandbox makes the sandbox of the command of that name.
func aloneSandbox(flags caddycmd.Flags) (s *Sandbox, err error) {
	if s, err = newSandbox(flags); err != nil {
		return nil, err
	}
	if s.API, err = flags.GetStringSlice("api"); err != nil {
		return nil, err
	}
	if value := flags.String("credentials"); value != "" {
		key, secret, ok := strings.Cut(value, ":")
		if !ok {
			return nil, errors.New("--credentials: write <api_key>:<api_secret>")
		}
		s.Credentials = &Credentials{APIKey: key, APISecret: secret}
	}
	s.Webhook, s.SignatureSecret = flags.String("webhook"), flags.String("signature-secret")
	if err := s.checkWebhookFlags(); err != nil {
		return nil, err
	}
	_, err = s.config()
	return s, err
}

// checkWebhookFlags tells why what the flags say has no webhook told of anything.
func (s *Sandbox) checkWebhookFlags() error {
	u, err := url.Parse(s.Webhook)
	switch {
	case s.Webhook == "" && s.SignatureSecret == "":
		return nil
	case s.Webhook == "":
		return errors.New("--webhook: it is missing; write the URL that is told, or leave out --signature-secret")
	case s.SignatureSecret == "":
		return errors.New("--signature-secret: it is missing; write what webhooks are signed with, for example {file./run/secrets/signature_secret}")
	case !slices.Contains(s.API, sandbox.V2):
		return errors.New("--webhook: version 1 has none; add --api v2")
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("--webhook: write a URL such as http://localhost:8080/webhooks/verify")
	case s.Credentials != nil:
		return errors.New("--webhook: with --credentials no JWT is accepted, and webhooks tell of verifications that were started with one; leave out one of the two")
	}
	_, err = readPlaceholder("--signature-secret", s.SignatureSecret)
	return err
}

// cmdSandbox runs the sandbox alone.
func cmdSandbox(flags caddycmd.Flags) (int, error) {
	listen := flags.String("listen")
	at, err := checkListen(listen)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	handler, err := aloneSandbox(flags)
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if err := run("INFO", site{address: listen, handler: handler, page: sandboxPage(at, handler.API...)}); err != nil {
		return caddy.ExitCodeFailedStartup, listenError(listen, err)
	}
	path := "/verify/"
	if slices.Contains(handler.API, sandbox.V2) && !slices.Contains(handler.API, sandbox.V1) {
		path = sandbox.PathV2
	}
	fmt.Printf("The sandbox %[1]s%[2]s is ready; %[1]s/sandbox/calls tells what it received, and the codes. Ctrl-C ends it.\n", at, path)
	select {}
}

// site is what one address serves.
type site struct {
	address string
	handler caddyhttp.MiddlewareHandler
	page    string // at /
	before  caddyhttp.RouteList
}

// handle is a handler as a route has it.
func handle(handler any, name string) []json.RawMessage {
	return []json.RawMessage{caddyconfig.JSONModuleObject(handler, "handler", name, nil)}
}

// at is the matcher of paths.
func at(paths ...string) caddyhttp.RawMatcherSets {
	return caddyhttp.RawMatcherSets{{"path": caddyconfig.JSON(caddyhttp.MatchPath(paths), nil)}}
}

// routes are the handler, a page that says what this is, and for all else the answer
// that the clients of the provider's other products understand.
func (s site) routes() caddyhttp.RouteList {
	name := s.handler.(caddy.Module).CaddyModule().ID.Name()
	return append(s.before, caddyhttp.RouteList{
		{HandlersRaw: handle(s.handler, name)},
		{
			MatcherSetsRaw: at("/"),
			HandlersRaw: handle(caddyhttp.StaticResponse{
				Headers: http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
				Body:    s.page,
			}, "static_response"),
			Terminal: true,
		},
		{HandlersRaw: handle(caddyhttp.StaticResponse{
			StatusCode: caddyhttp.WeakString(strconv.Itoa(http.StatusNotFound)),
			Headers:    http.Header{"Content-Type": {"application/json"}},
			Body:       otherProducts + "\n",
		}, "static_response")},
	}...)
}

// otherProducts is the body of the 404 for what is not version 1 of the Verify API,
// in the shape that the SDKs read from the provider's newer products.
const otherProducts = `{"title":"Not Found","detail":"Only the Verify API is here, at /verify/..., and version 2 of it where it is let in. For other products of the provider, such as Messages, use a client that calls the provider itself."}`

// sandboxPage tells how to call a sandbox that answers these APIs; none stands for v1.
func sandboxPage(url string, apis ...string) string {
	v1 := fmt.Sprintf("Start a verification:  curl %s/verify/json -u key:secret -d number=447700900000 -d brand=Demo\n", url)
	v2 := fmt.Sprintf("Start one of v2:       curl %s/v2/verify -u key:secret --json '{\"brand\":\"Demo\",\"workflow\":[{\"channel\":\"sms\",\"to\":\"447700900000\"}]}'\n", url)
	if !slices.Contains(apis, sandbox.V2) {
		v2 = ""
	} else if !slices.Contains(apis, sandbox.V1) {
		v1 = ""
	}
	return fmt.Sprintf(`A sandbox of the Verify API, of caddy-verify. Nothing is sent, nothing costs anything.
%[2]s%[3]sCalls, codes, faults:  curl %[1]s/sandbox/calls %[1]s/sandbox/faults
`, url, v1, v2)
}

// run starts Caddy with one server for each site, and returns once it serves.
func run(level string, sites ...site) error {
	caddy.TrapSignals()
	app := caddyhttp.App{Servers: map[string]*caddyhttp.Server{}}
	for _, s := range sites {
		app.Servers[s.address] = &caddyhttp.Server{Listen: []string{s.address}, Routes: s.routes()}
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
