// Command build makes the Caddy that xcaddy.json describes:
//
//	go run -C tools ./build
//
// It does what `xcaddy build` does with the same choices as flags, and leaves bin/caddy beside xcaddy.json. The file's
// keys are those of xcaddy.Builder; what else stands in it describes the plugin to its readers.
//
// A checkout in place of a published module has the version of its commit, so that `caddy list-modules --versions`,
// `caddy build-info` and the metric verify_build_info tell which one was built.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/caddyserver/xcaddy"
)

func main() {
	config := flag.String("config", filepath.Join("..", "xcaddy.json"), "the `file` that describes the build")
	output := flag.String("output", filepath.Join("bin", "caddy"), "the `file` to write, relative to the config's folder")
	flag.Parse()
	if err := build(*config, *output); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func build(config, output string) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	}
	config, err := filepath.Abs(config)
	if err != nil {
		return err
	}
	builder, err := read(config)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := prepare(ctx, builder); err != nil {
		return err
	}
	return builder.Build(ctx, within(filepath.Dir(config), output))
}

// read returns the build that the file describes, with its relative replacements made absolute: xcaddy builds in a
// temporary folder, where "." would be another one.
func read(config string) (*xcaddy.Builder, error) {
	data, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	builder := new(xcaddy.Builder)
	if err := json.Unmarshal(data, builder); err != nil {
		return nil, fmt.Errorf("%s: %w", config, err)
	}
	if builder.CaddyVersion == "" {
		return nil, fmt.Errorf("%s: caddy_version is missing, and the latest Caddy is a different one every month", config)
	}
	if len(builder.Plugins) == 0 {
		return nil, fmt.Errorf("%s: plugins is empty", config)
	}
	for i, r := range builder.Replacements {
		if r.Old == "" || r.New == "" {
			return nil, fmt.Errorf("%s: replacements[%d] needs old and new", config, i)
		}
		if !strings.HasPrefix(r.New.String(), ".") {
			continue
		}
		folder := within(filepath.Dir(config), r.New.String())
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: replacements[%d]: there is no Go module in %s", config, i, folder)
		}
		builder.Replacements[i].New = xcaddy.ReplacementPath(folder)
	}
	return builder, nil
}

func within(folder, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(folder, path)
}
