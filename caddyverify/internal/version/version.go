// Package version tells which version of the module a binary has.
package version

import (
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

const (
	path = "github.com/caddyverify/caddy-verify"
	// none is what xcaddy's --replace has in place of a version.
	none = "v0.0.0-00010101000000-000000000000"
)

// String is the module's version as Go's modules have them, such as v0.1.0; of a build
// from a checkout that Go gave none it is dev, with the commit where that is known.
var String = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	return of(info)
})

// UserAgent is what the gateway says of itself upstream.
func UserAgent() string { return "caddy-verify/" + strings.TrimPrefix(String(), "v") }

func of(info *debug.BuildInfo) string {
	for _, module := range append(info.Deps, &info.Main) {
		if module.Path == path && !slices.Contains([]string{"", "(devel)", none}, module.Version) {
			return module.Version
		}
	}
	if info.Main.Path != path {
		return "dev" // what follows is about another checkout
	}
	var commit, dirty string
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			commit = "-" + setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	return "dev" + commit + dirty
}
