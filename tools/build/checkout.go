package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/xcaddy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// prepare makes a build from checkouts work wherever their modules can be had.
//
// xcaddy has Go look each plugin up, and Go asks the module proxy for the longest path that could be a module: that of
// a package within the checkout, which nobody has published. A public proxy answers 404 and Go goes on; some private
// ones answer 403, which ends the build. So where all plugins come from checkouts, their modules are downloaded, and the
// build takes them from Go's module cache: what is not there is not there.
func prepare(ctx context.Context, builder *xcaddy.Builder) error {
	folders := map[string]string{}
	for i, r := range slices.Clone(builder.Replacements) {
		folder := r.New.String()
		if !filepath.IsAbs(folder) {
			continue // another module
		}
		folders[r.Old.String()] = folder
		if version := version(ctx, folder); version != "" {
			builder.Replacements[i].Old = xcaddy.ReplacementPath(r.Old.String() + "@" + version)
			// xcaddy does not look up plugins below a path that is replaced, and knows paths without a version alone. So
			// it gets one more, of which nothing is taken.
			builder.Replacements = append(builder.Replacements, xcaddy.NewReplace(path.Dir(r.Old.String()), folder))
		}
	}
	for _, p := range builder.Plugins {
		if !holds(folders, p.PackagePath) {
			return nil
		}
	}
	for _, folder := range folders {
		if _, err := run(ctx, folder, "go", "mod", "download"); err != nil {
			return err
		}
	}
	cache, err := run(ctx, ".", "go", "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	files := filepath.ToSlash(filepath.Join(cache, "cache", "download"))
	for name, value := range map[string]string{
		"GOPROXY": "file:///" + strings.TrimPrefix(files, "/"),
		// Whatever is said of private modules would have Go ask elsewhere.
		"GONOPROXY": "none",
		// What go.sum of the checkout has was compared when it was downloaded.
		"GOSUMDB": "off",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// holds tells whether one of the modules has the package.
func holds(modules map[string]string, path string) bool {
	for module := range modules {
		if path == module || strings.HasPrefix(path, module+"/") {
			return true
		}
	}
	return false
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
