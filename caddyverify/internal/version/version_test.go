package version

import (
	"runtime/debug"
	"testing"
)

func TestOf(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.modified", Value: "true"}}
	other := debug.Module{Path: "caddy", Version: "(devel)"}
	for _, test := range []struct {
		name string
		info debug.BuildInfo
		want string
	}{
		{"a plugin of another main module", debug.BuildInfo{Main: other, Deps: []*debug.Module{{Path: path, Version: "v0.1.0"}}, Settings: vcs}, "v0.1.0"},
		{"xcaddy's replacement by a checkout", debug.BuildInfo{Main: other, Deps: []*debug.Module{{Path: path, Version: "v0.0.0-00010101000000-000000000000"}}}, "dev"},
		{"go install of a release", debug.BuildInfo{Main: debug.Module{Path: path, Version: "v0.1.0"}}, "v0.1.0"},
		{"go build of a commit", debug.BuildInfo{Main: debug.Module{Path: path, Version: "v0.0.0-20261128095326-0123456789ab+dirty"}, Settings: vcs}, "v0.0.0-20261128095326-0123456789ab+dirty"},
		{"go build without a version", debug.BuildInfo{Main: debug.Module{Path: path, Version: "(devel)"}, Settings: vcs}, "dev-0123456789ab-dirty"},
		{"an unchanged checkout", debug.BuildInfo{Main: debug.Module{Path: path, Version: "(devel)"}, Settings: vcs[:1]}, "dev-0123456789ab"},
		{"go run", debug.BuildInfo{Main: debug.Module{Path: path, Version: "(devel)"}}, "dev"},
		{"a test", debug.BuildInfo{Main: debug.Module{Path: path}}, "dev"},
		{"a workspace of somebody else's", debug.BuildInfo{Main: other, Deps: []*debug.Module{{Path: path, Version: "(devel)"}}, Settings: vcs}, "dev"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := of(&test.info); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
