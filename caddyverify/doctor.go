package caddyverify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// doctorCommand is `caddy verify doctor`.
func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [--config <path> [--adapter <name>]] [--address <admin address>] [--json]",
		Short: "Tells what is wrong with a gateway's configuration and surroundings",
		Long: `
Checks a configuration of the gateway and what it depends on: credentials, DNS,
TLS, proxy, clock, the provider's word on the credentials, the limit, the filter
of each logger, who is let in, the admin endpoint, metrics and the Collector. It
prints a line for each, with the directive to change. It starts no gateway and no
verification: the provider gets one search of an unused request_id for each secret,
which is free. See docs/doctor.md.

Run it as the user and in the environment that the gateway has. The exit status is
1 if something fails, and 0 if not, with or without warnings.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			flags := caddycmd.Flags{FlagSet: cmd.Flags()}
			if err := quietCaddy(); err != nil {
				return err
			}
			e := examination{
				config: flags.String("config"), adapter: flags.String("adapter"), address: flags.String("address"),
				autosave: caddy.ConfigAutosavePath, getenv: os.Getenv,
			}
			e.run(cmd.Context())
			write := e.report.WriteText
			if flags.Bool("json") {
				write = e.report.WriteJSON
			}
			if err := write(cmd.OutOrStdout()); err != nil || !e.report.Failed() {
				return err
			}
			cmd.SilenceErrors, cmd.SilenceUsage = true, true // all is said
			return errors.New("something fails")
		},
	}
	cmd.Flags().StringP("config", "c", "", "Configuration file (default: the Caddyfile here, as for caddy run)")
	cmd.Flags().StringP("adapter", "a", "", "Name of the adapter that reads it, if it is neither JSON nor a Caddyfile")
	cmd.Flags().String("address", "", "Address of the running gateway's admin endpoint (default: that of the configuration)")
	cmd.Flags().Bool("json", false, "Print the findings as JSON")
	_ = cmd.RegisterFlagCompletionFunc("adapter", cobra.FixedCompletions([]string{"caddyfile"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("address", cobra.NoFileCompletions)
	return cmd
}

// examination is what the doctor is asked to look at, and finds.
type examination struct {
	config, adapter, address string
	autosave                 string // the file in which Caddy keeps its configuration
	getenv                   func(string) string

	report  doctor.Report
	secrets []upstream.Secret
}

// run looks at everything. What depends on what does not work is not looked at.
func (e *examination) run(ctx context.Context) {
	written, err := e.load()
	if err != nil {
		e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "configuration", Text: sentence(err), Change: "`--config`, or what stands there."})
		return
	}
	config, err := doctor.Read(written)
	if err != nil {
		e.report.Add(doctor.Finding{Level: doctor.Fail, Check: "configuration", Text: sentence(err), Change: "`--config`."})
		return
	}
	patients, sites, good := e.patients(config)
	for _, p := range patients {
		good = e.checkSettings(p) && good
	}
	good = e.checkRelays(config.Webhooks) && good
	tried := e.checkLoads(written, good, len(sites), len(patients))
	for _, p := range patients {
		e.askProvider(ctx, written, p)
	}
	e.checkStore(ctx, config.Store(), tried)
	for _, s := range sites {
		e.report.CheckSite(s.Site, s.of, s.timeout, s.handler.Browsers)
	}
	e.report.CheckCallers(config)
	e.report.CheckLogs(config)
	admin := config.Admin(caddy.DefaultAdminListen)
	e.report.CheckAdmin(admin)
	e.checkAutosave()
	if e.address != "" {
		admin.Listen, admin.Off = e.address, false
	}
	e.report.CheckMetrics(ctx, config, admin, func(path string) (string, error) { return askAdmin(admin.Listen, path) })
	e.report.CheckOTLP(ctx, config, e.getenv)
}

// load reads the configuration as `caddy run` does, and returns it as JSON.
func (e *examination) load() ([]byte, error) {
	config, file, _, err := caddycmd.LoadConfig(e.config, e.adapter)
	switch {
	case err != nil && e.config == "-":
		return nil, errors.New("what comes by standard input cannot be read; `caddy adapt` tells why")
	case err != nil:
		return nil, fmt.Errorf("it cannot be read: %s", withoutCredentials(err, e.config))
	case file == "":
		return nil, errors.New("there is no --config, and no Caddyfile in this folder")
	}
	return caddy.RemoveMetaFields(config), nil // as Caddy does
}

// writtenCredentials are the arguments of a Caddyfile's directives.
var writtenCredentials = regexp.MustCompile(`(?m)^\s*(?:(?:next_)?credentials|password|encryption_key|private_key|signature_secret|relay|webhook)\s+(.+)$`)

// withoutCredentials is what Caddy says of a configuration that it cannot read, without
// what stands in a file in place of credentials: an error shows the word that it is at.
func withoutCredentials(err error, file string) string {
	said := err.Error()
	if file == "" {
		file = "Caddyfile"
	}
	content, readErr := os.ReadFile(file) //nolint:gosec // the operator named it
	if readErr != nil {
		return said // the error is about that
	}
	for _, line := range writtenCredentials.FindAllStringSubmatch(string(content), -1) {
		for word := range strings.FieldsSeq(os.Expand(strings.ReplaceAll(line[1], "{$", "${"), os.Getenv)) {
			if word = strings.Trim(word, "\"`"); len(word) > 2 && !placeholder.MatchString(word) {
				said = strings.ReplaceAll(said, word, redacted)
			}
		}
	}
	return said
}

// checkLoads tells whether Caddy can load the configuration. Where settings are bad
// anyway, it says no more than that, and reports false: it was not tried.
func (e *examination) checkLoads(config []byte, good bool, handlers, accounts int) (tried bool) {
	f := doctor.Finding{Level: doctor.OK, Check: "configuration", Text: fmt.Sprintf("Caddy can load it. Handlers: %d, accounts: %d.", handlers, accounts)}
	switch {
	case handlers == 0:
		f = doctor.Finding{Level: doctor.Fail, Check: "configuration", Text: "there is no verify handler in it, so no calls are taken.", Change: "write `verify { … }` into a site."}
	case !good:
		f = doctor.Finding{Level: doctor.Skip, Check: "configuration", Text: "Caddy cannot load it before what fails above is right."}
	default:
		tried = true
		if err := validate(config); err != nil {
			f.Level, f.Text, f.Change = doctor.Fail, "Caddy cannot load it: "+sentence(err), "what the sentence names."
		}
	}
	e.report.Add(f)
	return tried
}

// sentence is an error as one that ends.
func sentence(err error) string { return strings.TrimRight(err.Error(), ".?! ") + "." }

// checkAutosave looks for secrets in the file that Caddy keeps its configuration in.
func (e *examination) checkAutosave() {
	saved, err := os.ReadFile(e.autosave)
	if err != nil || len(e.secrets) == 0 {
		return // there is none, or it is another user's
	}
	for _, secret := range e.secrets {
		if secret.In(saved) {
			e.report.Add(doctor.Finding{Level: doctor.Warn, Check: "autosave", Text: "a secret or private key stands in " + e.autosave + ", from a configuration that had it written out.", Change: "write a placeholder in its place, reload, and have it replaced where it comes from."})
			return
		}
	}
	e.report.Add(doctor.Finding{Level: doctor.OK, Check: "autosave", Text: "no secret stands in " + e.autosave + "."})
}

// quiet is logging that says nothing. Caddy's own is redirected by each configuration,
// and by the same output as before without a word.
var quiet = json.RawMessage(`{"logs":{"default":{"level":"FATAL","writer":{"output":"stderr"}}}}`)

// quietCaddy keeps Caddy from logging what it reads: the report is all that is printed.
func quietCaddy() error {
	return validate([]byte(`{}`))
}

// validate has Caddy load a configuration without starting it. Nothing is written where
// the configuration says, neither a log nor a key: that may be another user's place.
func validate(config []byte) error {
	folder, err := os.MkdirTemp("", "caddy-verify-doctor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	var settings map[string]json.RawMessage
	if err := json.Unmarshal(config, &settings); err != nil {
		return err
	}
	settings["logging"] = quietly(settings["logging"])
	settings["storage"] = caddyconfig.JSON(map[string]string{"module": "file_system", "root": folder}, nil)
	if config, err = json.Marshal(settings); err != nil {
		return err
	}
	var loaded caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &loaded); err != nil {
		return err
	}
	return caddy.Validate(&loaded)
}

// quietly is logging as it is written, but for where it goes.
func quietly(logging json.RawMessage) json.RawMessage {
	var settings struct {
		Sink json.RawMessage                       `json:"sink,omitempty"`
		Logs map[string]map[string]json.RawMessage `json:"logs,omitempty"`
	}
	if len(logging) == 0 {
		return quiet
	}
	if json.Unmarshal(logging, &settings) != nil {
		return logging // Caddy says what it is
	}
	for _, log := range settings.Logs {
		log["writer"] = json.RawMessage(`{"output":"discard"}`)
	}
	if settings.Logs == nil {
		settings.Logs = map[string]map[string]json.RawMessage{}
	}
	if settings.Logs["default"] == nil {
		settings.Logs["default"] = map[string]json.RawMessage{}
	}
	settings.Logs["default"]["level"] = json.RawMessage(`"FATAL"`)
	settings.Logs["default"]["writer"] = json.RawMessage(`{"output":"stderr"}`)
	settings.Sink = nil
	return caddyconfig.JSON(settings, nil)
}

// askAdmin gets a page of the admin endpoint, which may be anything by now.
func askAdmin(address, path string) (string, error) {
	type answer struct {
		body string
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		response, err := caddycmd.AdminAPIRequest(address, "GET", path, nil, nil)
		if err != nil {
			answered <- answer{err: err}
			return
		}
		defer response.Body.Close()
		var body bytes.Buffer
		_, err = io.Copy(&body, io.LimitReader(response.Body, 16<<20))
		answered <- answer{body.String(), err}
	}()
	select {
	case a := <-answered:
		return a.body, a.err
	case <-time.After(3 * time.Second):
		return "", errors.New("no answer")
	}
}
