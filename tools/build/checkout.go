package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/xcaddy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// prepare gives what comes from checkouts a version, and keeps Go from looking for it elsewhere.
//
// xcaddy has Go look each plugin up, and Go begins with the longest path that could be a module: that of a package
// within the checkout, which nobody has published. A public module proxy answers 404 and Go goes on; some private ones
// answer 403, which ends the build. So the proxy is not asked for these modules, and neither is a version control system,
// which leaves the checkout alone.
func prepare(ctx context.Context, builder *xcaddy.Builder) error {
	for i, r := range builder.Replacements {
		old, folder := r.Old.String(), r.New.String()
		if !filepath.IsAbs(folder) {
			continue // another module
		}
		if version := version(ctx, folder); version != "" {
			builder.Replacements[i].Old = xcaddy.ReplacementPath(old + "@" + version)
		}
		for variable, value := range map[string]string{"GONOPROXY": old, "GOVCS": old + ":off"} {
			if err := prepend(ctx, variable, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepend puts a value before those of a variable of Go's, for the commands that follow.
func prepend(ctx context.Context, variable, value string) error {
	others, err := run(ctx, ".", "go", "env", variable)
	if err != nil {
		return err
	}
	return os.Setenv(variable, strings.TrimSuffix(value+","+others, ","))
}

// version is that of a checkout, as Go itself would name it: a tag, or a pseudo-version after the last one. It is empty
// if there is none to be had, and ends in .dirty if files have been changed.
func version(ctx context.Context, folder string) string {
	head, err := run(ctx, folder, "git", "log", "-1", "--format=%H %ct")
	if err != nil {
		return "" // not in git, or no git
	}
	commit, stamp, _ := strings.Cut(head, " ")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || len(commit) < 12 {
		return ""
	}
	tag, _ := run(ctx, folder, "git", "describe", "--tags", "--abbrev=0", "--match=v[01].*")
	if semver.Canonical(tag) != tag {
		tag = ""
	}
	version := module.PseudoVersion(semver.Major(tag), tag, time.Unix(seconds, 0), commit[:12])
	if tag != "" {
		if tagged, _ := run(ctx, folder, "git", "rev-parse", tag+"^{commit}"); tagged == commit {
			version = tag
		}
	}
	if changes, err := run(ctx, folder, "git", "status", "--porcelain"); err != nil || changes != "" {
		if version == tag {
			version += "-0"
		}
		version += ".dirty"
	}
	return version
}

// run returns what a command prints, without the white space around it.
func run(ctx context.Context, folder, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
