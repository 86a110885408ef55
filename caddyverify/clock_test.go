package caddyverify

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wallClock is what goes by the wall clock: times without their monotonic reading, and
// whatever expires inside go-cache.
var wallClock = regexp.MustCompile(`\.(Unix|UnixMilli|UnixMicro|UnixNano|UTC|Local)\(|\.(Round|Truncate)\(0\)|` +
	`\.(SetDefault|DeleteExpired|GetWithExpiration|DefaultExpiration)\b|cache\.New\([^,]*(KeepFor|[0-9]|Duration|time\.)`)

// NTP, an operator or a virtual machine that wakes up may set the clock by minutes.
// Nothing that the gateway does may hang on it; what tells people the time may, and what reads or
// writes the time in what is signed, or in what the provider tells of its own clock.
func TestNoWallClock(t *testing.T) {
	read := 0
	err := filepath.WalkDir("internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		switch filepath.Base(filepath.Dir(path)) {
		case "status", "live", "state", "webhook":
			return nil
		}
		if filepath.Base(path) == "jwt.go" {
			return nil
		}
		read++
		content, err := os.ReadFile(path)
		for n, line := range strings.Split(string(content), "\n") {
			if found := wallClock.FindString(line); found != "" {
				t.Errorf("%s:%d: %s goes by the wall clock", path, n+1, found)
			}
		}
		return err
	})
	if err != nil || read < 20 {
		t.Errorf("%d files were read: %v", read, err)
	}
}
