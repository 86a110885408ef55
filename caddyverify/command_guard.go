package caddyverify

import (
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
)

// guardCommand is `caddy verify guard`.
func guardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Operates the guard, and tries its rules on recorded starts",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	list := &cobra.Command{
		Use:   "list [--account <name>] [--json]",
		Short: "Lists the blocks in force",
		Long:  "\nLists what the guard blocks at present: which place, of which caller, by which rule\nand why, until when, how many times in a row, and how many starts it refused.",
		Args:  cobra.NoArgs,
		RunE:  caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) { return showGuard(flags, true) }),
	}
	statusCmd := &cobra.Command{
		Use:   "status [--account <name>] [--json]",
		Short: "Tells what the guard does, and what it has done",
		Long: `
Tells for each rule its mode, how many starts it has refused or would have, and what
these could have cost; the figures of budgets; blocks in force; and of callers, how many
verifications were started, verified, failed, and never seen to end.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) { return showGuard(flags, false) }),
	}
	block := &cobra.Command{
		Use:   "block <prefix>|<country> [--caller <name>] [--account <name>]",
		Short: "Blocks numbers by how they begin, or a country, until that is lifted",
		Long: `
Has all starts of a place refused, of all callers or of one, whatever the modes of rules
are, until it is lifted: numbers that begin with the digits, calling code first, or
those of a country, by its two-letter code. It survives reloads.`,
		Example: "  caddy verify guard block 44740012\n  caddy verify guard block LK --caller checkout",
		Args:    cobra.ExactArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) {
			return actOnGuard(flags, "guard/block", "blocked at accounts: %d\n")
		}),
	}
	lift := &cobra.Command{
		Use:     "lift <prefix>|<country> [--caller <name>] [--account <name>]",
		Short:   "Ends blocks of numbers by how they begin, or of a country",
		Long:    "\nEnds the blocks of a place as `guard list` shows it, whoever began them, of all\ncallers or of one, and forgets what had led to them.",
		Example: "  caddy verify guard lift 44740012",
		Args:    cobra.ExactArgs(1),
		RunE: caddycmd.WrapCommandFuncForCobra(func(flags caddycmd.Flags) (int, error) {
			return actOnGuard(flags, "guard/lift", "lifted blocks: %d\n")
		}),
	}
	for _, sub := range []*cobra.Command{list, statusCmd, block, lift} {
		sub.ValidArgsFunction = cobra.NoFileCompletions
		sub.Flags().String("account", "", "Of one account, by its name or label (default: of all)")
		adminFlags(sub)
	}
	for _, sub := range []*cobra.Command{list, statusCmd} {
		sub.Flags().Bool("json", false, "Print the admin API's document")
	}
	for _, sub := range []*cobra.Command{block, lift} {
		sub.Flags().String("caller", "", "Of one caller, by its name (default: of all)")
	}
	cmd.AddCommand(list, lift, block, statusCmd, replayCommand())
	return cmd
}

func showGuard(flags caddycmd.Flags, onlyBlocks bool) (int, error) {
	path := "guard"
	if account := flags.String("account"); account != "" {
		path += "?account=" + url.QueryEscape(account)
	}
	if err := show(flags, path, &status.GuardReports{OnlyBlocks: onlyBlocks}, os.Stdout); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}

func actOnGuard(flags caddycmd.Flags, path, said string) (int, error) {
	asked := guardPlace{Account: flags.String("account"), Target: flags.Arg(0)}
	if flags.Changed("caller") {
		caller := flags.String("caller")
		asked.Caller = &caller
	}
	var did done
	if err := callAdmin(flags, http.MethodPost, path, asked, &did); err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Printf(said, did.Done)
	return caddy.ExitCodeSuccess, nil
}
