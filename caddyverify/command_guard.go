package caddyverify

import (
	"github.com/spf13/cobra"
)

// guardCommand is `caddy verify guard`.
func guardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Operates the guard, and tries its rules on recorded starts",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(replayCommand())
	return cmd
}
