//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool runs Prometheus's tool.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("there is no promtool; on Debian: apt-get install prometheus (%v)", err)
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestDashboardsRules has Prometheus's own tool judge the rules, try every alert, and parse every panel's queries.
func TestDashboardsRules(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "../dashboards/provisioning/prometheus.yml")
	tests, err := filepath.Glob("../dashboards/rules/*.test.yml")
	if err != nil || len(tests) == 0 {
		t.Fatalf("there are no tests of rules: %v", err)
	}
	promtool(t, append([]string{"test", "rules"}, tests...)...)

	var rules strings.Builder
	rules.WriteString("groups:\n  - name: panels\n    rules:\n")
	n := 0
	for _, q := range panelQueries(t) {
		fmt.Fprintf(&rules, "      - record: panel_%d\n        expr: %q\n", n, chosen(q.Expr, "1m"))
		n++
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
	t.Logf("%d queries", n)
}
