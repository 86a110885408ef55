package caddyverify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/traffic"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/version"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Prints the version of caddy-verify",
		Args:  cobra.NoArgs,
		Run:   func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), version.String()) },
	}
}

func healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health [--url <url>]",
		Short: "Asks verify_health, for images that have no curl",
		Long: `
Asks verify_health once and prints what it says. The exit status is 0 if that comes with
HTTP 200 within 3 seconds, else 1.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdHealth),
	}
	cmd.Flags().String("url", "http://127.0.0.1:8080"+readyPath, "Where verify_health is")
	return cmd
}

const healthTime = 3 * time.Second

func cmdHealth(flags caddycmd.Flags) (int, error) {
	client := &http.Client{Timeout: healthTime}
	response, err := client.Get(flags.String("url"))
	if err != nil {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("no answer; is Caddy running, with verify_health at --url? %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	fmt.Println(strings.TrimSpace(string(body)))
	if response.StatusCode != http.StatusOK {
		return caddy.ExitCodeFailedStartup, fmt.Errorf("the answer is HTTP %d", response.StatusCode)
	}
	return caddy.ExitCodeSuccess, nil
}

func trafficCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "traffic [--gateway <url>] (--sandbox <url> | --code <pin>) [--rate <n>/s] [--day <duration>] [--speed <factor>] [--seed <n>]",
		Short: "Makes calls to a gateway on a sandbox, as applications and their users would",
		Long: `
Starts verifications at a gateway that has a sandbox behind it. Most users enter the
right code, some a wrong one, some none; applications search and cancel. Never let it
reach the provider: its numbers belong to nobody, and each would cost money. It runs
until Ctrl-C, and waits for a gateway that is not there.`,
		Args: cobra.NoArgs,
		RunE: caddycmd.WrapCommandFuncForCobra(cmdTraffic),
	}
	flags := cmd.Flags()
	flags.String("gateway", "http://localhost:8080", "The gateway's URL")
	flags.String("sandbox", "", "The URL of the sandbox behind it, which tells the codes to enter")
	flags.String("code", "", "The right code of every verification, where there is no --sandbox")
	flags.String("rate", "1/s", "How many verifications are started a second on average")
	flags.Duration("day", 24*time.Hour, "From one rush hour to the next")
	flags.Float64("speed", 1, "How many times as fast as people the users are; the sandbox's --speed")
	flags.Uint64("seed", 0, "Which users, numbers and moments; the same make the same traffic")
	return cmd
}

func cmdTraffic(flags caddycmd.Flags) (int, error) {
	rate, err := parseRate(flags.String("rate"))
	if err != nil || rate < 0 {
		return caddy.ExitCodeFailedStartup, errors.New("--rate: write a number per second such as 1/s or 0.5/s")
	}
	seed, err := flags.GetUint64("seed")
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = traffic.Run(ctx, traffic.Config{
		Gateway: flags.String("gateway"),
		Sandbox: flags.String("sandbox"),
		Code:    flags.String("code"),
		Rate:    rate,
		Day:     flags.Duration("day"),
		Speed:   flags.Float64("speed"),
		Seed:    seed,
		Progress: func(c traffic.Counts) {
			log.Printf("%d verifications started, %d succeeded; %d calls refused, %d without an answer", c.Started, c.Succeeded, c.Refused, c.Failed)
		},
	})
	if err != nil {
		return caddy.ExitCodeFailedStartup, err
	}
	return caddy.ExitCodeSuccess, nil
}
