package caddyverify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// adminCommands are those that ask or tell a gateway that runs, by Caddy's admin endpoint.
func adminCommands() []*cobra.Command {
	statusCmd := &cobra.Command{
		Use:   "status [--json] [--watch]",
		Short: "Tells how the gateway is, and why",
		Long: `
Tells of a gateway that runs how each account is: how many verifications succeed,
what of the way to the provider is in trouble and until when, countries, callers
and what they cost, all of the last hour.`,
		Example: "  caddy verify status --watch\n  caddy verify status --address unix//run/caddy/admin.sock --json",
		Args:    cobra.NoArgs,
		RunE:    caddycmd.WrapCommandFuncForCobra(cmdStatus),
	}
	statusCmd.Flags().Bool("json", false, "Print the admin API's document")
	statusCmd.Flags().BoolP("watch", "w", false, "Print it anew every two seconds, until Ctrl-C")
	explain := &cobra.Command{
		Use:   "explain <request_id> [--json]",
		Short: "Tells what the gateway knows of a verification",
		Long: `
Tells what the gateway knows of a verification: its state, its times, its caller
and country, and how many codes were tried. It asks the provider nothing, and
costs nothing.`,
		Args: cobra.ExactArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(cmdExplain),
	}
	explain.Flags().Bool("json", false, "Print the admin API's document")
	purge := &cobra.Command{
		Use:   "purge [<request_id>] [--account <name>]",
		Short: "Has searches asked of the provider again",
		Long:  "\nHas the cache forget what it keeps of one verification, or of all.",
		Args:  cobra.MaximumNArgs(1),
		RunE:  caddycmd.WrapCommandFuncForCobra(cmdPurge),
	}
	purge.Flags().String("account", "", "Of one account, by its name or label (default: of all)")
	breaker := &cobra.Command{
		Use:   "breaker <account> read|write open|close",
		Short: "Opens or closes a circuit of an account",
		Long: `
Opens a circuit of an account, read (check, search) or write (request, psd2,
control), and keeps it open until it is closed again, over reloads too; or closes
one, whatever opened it.`,
		Example:           "  caddy verify breaker shop write open",
		Args:              cobra.ExactArgs(3),
		RunE:              caddycmd.WrapCommandFuncForCobra(cmdBreaker),
		ValidArgsFunction: completeBreaker,
	}
	all := []*cobra.Command{statusCmd, explain, purge, breaker}
	for _, cmd := range all {
		if cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		adminFlags(cmd)
	}
	return all
}

// adminFlags say where the admin endpoint is.
func adminFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "Address of Caddy's admin endpoint, if --config does not tell (default: "+caddy.DefaultAdminListen+")")
	cmd.Flags().StringP("config", "c", "", "Configuration file that has the address of the admin endpoint")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter, if --config needs one")
}

func completeBreaker(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	words := [...][]cobra.Completion{nil, {"read", "write"}, {"open", "close"}, nil}
	return words[min(len(args), 3)], cobra.ShellCompDirectiveNoFileComp
}

// callAdmin calls the admin API of a gateway that runs, and reads its document.
func callAdmin(flags caddycmd.Flags, method, path string, body, into any) error {
	address, err := caddycmd.DetermineAdminAPIAddress(flags.String("address"), nil, flags.String("config"), flags.String("adapter"))
	if err != nil {
		return err
	}
	var sent io.Reader
	if body != nil {
		document, err := json.Marshal(body)
		if err != nil {
			return err
		}
		sent = bytes.NewReader(document)
	}
	response, err := caddycmd.AdminAPIRequest(address, method, adminPrefix+path, nil, sent)
	if err != nil {
		return adminError(address, err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("the admin endpoint at %s gives no document of caddy-verify: %w", address, err)
	}
	return nil
}

// adminError says what the admin endpoint did not like, or that there is none.
func adminError(address string, err error) error {
	text := err.Error()
	if why, ok := strings.CutPrefix(text, "performing request: "); ok {
		return fmt.Errorf("no Caddy answers at the admin endpoint %s: is it running? --address or --config says where its admin endpoint is; `caddy verify demo` has none, look at its /live (%s)", address, why)
	}
	if _, document, ok := strings.Cut(text, "{"); ok {
		var told struct{ Error string }
		if json.Unmarshal([]byte("{"+document), &told) == nil && told.Error != "" {
			return errors.New(told.Error)
		}
	}
	if strings.Contains(text, "HTTP 404") {
		return fmt.Errorf("the Caddy at %s has no caddy-verify in it, or an older one", address)
	}
	return err
}

func cmdStatus(flags caddycmd.Flags) (int, error) {
	look := func(w io.Writer) error { return show(flags, "accounts", new(status.Status), w) }
	var err error
	if flags.Bool("watch") {
		err = watchStatus(os.Stdout, look, func() bool { time.Sleep(2 * time.Second); return true })
	} else {
		err = look(os.Stdout)
	}
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// watchStatus looks again and again, for as long as wait says, and clears the terminal before
// each. Only the first look must succeed: gateways are reloaded and started anew.
func watchStatus(w io.Writer, look func(io.Writer) error, wait func() bool) error {
	for first := true; first || wait(); first = false {
		var text bytes.Buffer
		if err := look(&text); err != nil {
			if first {
				return err
			}
			text.Reset()
			fmt.Fprintln(&text, err)
		}
		if _, err := io.WriteString(w, "\x1b[2J\x1b[H"+text.String()); err != nil {
			return err
		}
	}
	return nil
}

func cmdExplain(flags caddycmd.Flags) (int, error) {
	if err := show(flags, "verifications/"+url.PathEscape(flags.Arg(0)), new(status.Verification), os.Stdout); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

// show prints a document of the admin API, as it is or for people.
func show(flags caddycmd.Flags, path string, document interface{ Write(to io.Writer) error }, w io.Writer) error {
	if flags.Bool("json") {
		var raw any
		if err := callAdmin(flags, http.MethodGet, path, nil, &raw); err != nil {
			return err
		}
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(raw)
	}
	if err := callAdmin(flags, http.MethodGet, path, nil, document); err != nil {
		return err
	}
	return document.Write(w)
}

func cmdPurge(flags caddycmd.Flags) (int, error) {
	asked := purgeRequest{Account: flags.String("account"), RequestID: flags.Arg(0)}
	var did done
	if err := callAdmin(flags, http.MethodPost, "cache/purge", asked, &did); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Printf("purged caches: %d\n", did.Done)
	return caddy.ExitCodeSuccess, nil
}

func cmdBreaker(flags caddycmd.Flags) (int, error) {
	account, class, action := flags.Arg(0), flags.Arg(1), flags.Arg(2)
	path := "breaker/" + url.PathEscape(account) + "/" + url.PathEscape(class) + "/" + url.PathEscape(action)
	if err := callAdmin(flags, http.MethodPost, path, struct{}{}, new(done)); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	if action == "open" {
		fmt.Printf("The circuit %s of %s is open until you close it.\n", class, account)
	} else {
		fmt.Printf("The circuit %s of %s is closed.\n", class, account)
	}
	return caddy.ExitCodeSuccess, nil
}
