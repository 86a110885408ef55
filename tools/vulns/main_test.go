package main

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	const (
		begin  = `{"config":{"protocol_version":"v1.0.0","db":"file:///db"}}`
		known  = `{"osv":{"id":"GO-1","summary":"Panic on frames","aliases":["CVE-1"]}}`
		std    = `{"finding":{"osv":"GO-1","fixed_version":"v1.26.9","trace":[{"module":"stdlib","version":"v1.26.8","package":"net/http","function":"Do"},{"module":"a"}]}}`
		module = `{"finding":{"osv":"GO-1","fixed_version":"v1.20.2","trace":[{"module":"m/compress","version":"v1.20.1"}]}}`
		call   = `{"finding":{"osv":"GO-1","fixed_version":"v1.20.2","trace":[{"module":"m/compress","version":"v1.20.1","package":"m/compress/fse","function":"Compress"},{"module":"a","package":"a"}]}}`
		pkg    = `{"finding":{"osv":"GO-1","fixed_version":"v1.20.2","trace":[{"module":"m/compress","version":"v1.20.1","package":"m/compress/fse"}]}}`
		never  = `{"finding":{"osv":"GO-1","trace":[{"module":"m/old","version":"v1.0.0"}]}}`
		commit = `{"finding":{"osv":"GO-1","fixed_version":"v0.58.1-0.20261009181718-2f1f834330b2","trace":[{"module":"m/crypto","version":"v0.57.0"}]}}`
	)
	tests := []struct{ name, in, out, err string }{
		{"nothing found", begin + known, "", ""},
		{"in Go itself", begin + known + std, "GO-1: stdlib v1.26.8, called; mended by v1.26.9: Panic on frames\n", ""},
		{"in a module", begin + known + module, "GO-1: m/compress v1.20.1, required; mended by v1.20.2: Panic on frames\n", "go get m/compress@v1.20.2"},
		{"in a package of it", begin + known + module + pkg, "GO-1: m/compress v1.20.1, imported; mended by v1.20.2: Panic on frames\n", "go get m/compress@v1.20.2"},
		{"in what is called", begin + known + call + pkg + module, "GO-1: m/compress v1.20.1, called; mended by v1.20.2: Panic on frames\n", "go get m/compress@v1.20.2"},
		{"with no mend", begin + known + never, "GO-1: m/old v1.0.0, required; nothing mends it yet: Panic on frames\n", ""},
		{"with no release that mends it", begin + known + commit, "GO-1: m/crypto v0.57.0, required; mended by v0.58.1-0.20261009181718-2f1f834330b2: Panic on frames\n", ""},
		{"several", begin + known + std + module, "GO-1: m/compress v1.20.1, required; mended by v1.20.2: Panic on frames\nGO-1: stdlib v1.26.8, called; mended by v1.26.9: Panic on frames\n", "go get m/compress@v1.20.2"},
		{"no output", "", "", "printed nothing"},
		{"an empty database", begin, "", "it is empty"},
		{"not JSON", begin + "Vulnerability #1", "", "not what govulncheck"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := judge(strings.NewReader(tt.in), &out)
			if out.String() != tt.out {
				t.Errorf("it printed\n%swant\n%s", out.String(), tt.out)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %q", err, tt.err)
			}
		})
	}
}
