package caddyverify

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/doctor"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/guard"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/record"
)

// replayCommand is `caddy verify guard replay`.
func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay <file>... [--config <path> [--adapter <name>] [--account <name>]] [--json]",
		Short: "Tells what rules of the guard would have refused of recorded starts",
		Long: `
Runs rules of the guard over a record that a gateway has written (guard { record
<path> }), at the times of its starts, and prints what they would have refused: of
verifications that were completed and of others, and what these have cost. Each
rule counts by itself, as in monitor, and all together, as in enforce. They are the
recommended ones, or those of an account in --config that are in monitor or
enforce. Files that were rolled over (starts-*.jsonl, .gz too) may be given in
any order; they belong to the user that Caddy runs as.`,
		Example: "  sudo sh -c 'caddy verify guard replay /var/lib/caddy/starts*'\n  caddy verify guard replay --config Caddyfile --account shop starts.jsonl",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			flags := caddycmd.Flags{FlagSet: cmd.Flags()}
			if err := quietCaddy(); err != nil {
				return err
			}
			settings, err := replayedSettings(flags)
			if err != nil {
				return err
			}
			starts, err := record.Read(files)
			if err != nil {
				return err
			}
			report := starts.Replay(settings)
			if !flags.Bool("json") {
				return report.Write(cmd.OutOrStdout())
			}
			encoder := json.NewEncoder(cmd.OutOrStdout())
			encoder.SetIndent("", "  ")
			return encoder.Encode(report)
		},
	}
	cmd.Flags().StringP("config", "c", "", "Configuration file with the rules (default: the recommended rules)")
	cmd.Flags().StringP("adapter", "a", "", "Name of the adapter that reads it, if it is neither JSON nor a Caddyfile")
	cmd.Flags().String("account", "", "Name of the account in it, if several have a guard")
	cmd.Flags().Bool("json", false, "Print the report as JSON, with the line of each start that is refused")
	return cmd
}

// replayedSettings are the rules to be replayed.
func replayedSettings(flags caddycmd.Flags) (none guard.Settings, err error) {
	if flags.String("config") == "" {
		if flags.String("account") != "" || flags.String("adapter") != "" {
			return none, errors.New("--account and --adapter are about a --config, and there is none")
		}
		return guard.Settings{Account: guard.Recommended(guard.Enforce)}, nil
	}
	e := examination{config: flags.String("config"), adapter: flags.String("adapter")}
	written, err := e.load()
	if err != nil {
		return none, fmt.Errorf("--config: %w", err)
	}
	config, err := doctor.Read(written)
	if err != nil {
		return none, fmt.Errorf("--config: %w", err)
	}
	patients, _, good := e.patients(config)
	if !good {
		return none, errors.New("--config: its settings are not such as `verify` has; `caddy validate` tells why")
	}
	var found []*Account
	var names []string
	asked := flags.String("account")
	_, known := config.Accounts()[asked]
	for _, p := range patients {
		only := len(patients) == 1 && known // it has no need of a name
		if p.Guard != nil && (asked == "" || asked == p.of || only) {
			found = append(found, &p.Account)
			names = append(names, p.of)
		}
	}
	if len(found) == 0 {
		return none, errors.New("--config: no account has a guard, or none of the --account's name; write for example: guard { recommended monitor }")
	}
	if slices.ContainsFunc(found, func(one *Account) bool { return !sameAccount(found[0], one) }) {
		return none, fmt.Errorf("--config: several accounts have a guard; name one with --account: %s", strings.Join(names, ", "))
	}
	var rules Guard
	for _, p := range patients { // handlers of one account share a guard
		if !sameAccount(found[0], &p.Account) {
			continue
		}
		if rules, err = rules.with(p.Guard); err != nil {
			return none, fmt.Errorf("--config: %w", err)
		}
	}
	var callers *Callers
	if raw := config.Callers(); raw != nil {
		callers = new(Callers)
		if err := unmarshal(raw, callers); err != nil {
			return none, fmt.Errorf("--config: callers: %w", err)
		}
	}
	rules.TrustedFile = nil // the record tells what was trusted
	of := names
	if len(patients) == 1 {
		of = slices.Collect(maps.Keys(config.Accounts()))
	}
	settings, err := rules.settings(callers, of)
	if err != nil {
		return none, fmt.Errorf("--config: guard: %w", err)
	}
	if !slices.ContainsFunc(guard.Rules(), settings.Has) {
		return none, errors.New("--config: no rule of this account is in monitor or enforce; write recommended monitor, or leave out --config")
	}
	return settings, nil
}

// sameAccount tells whether two are written as one account.
func sameAccount(a, b *Account) bool {
	return cmp.Or(a.Upstream, defaultUpstream) == cmp.Or(b.Upstream, defaultUpstream) &&
		a.Credentials != nil && b.Credentials != nil && *a.Credentials == *b.Credentials || a == b
}
