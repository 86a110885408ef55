//go:build e2e

package e2e

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
)

// h2spec is the conformance tester, in a module of its own.
var h2spec = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "h2spec")
	build := exec.Command("go", "-C", "../tools/h2spec", "build", "-o", path, "github.com/summerwind/h2spec/cmd/h2spec")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building h2spec: %w\n%s", err, out)
	}
	return path, nil
})

// TestHTTP2Spec has h2spec look at the gateway and at a Caddy that says hello, in the same process: the gateway fails nothing
// that plain Caddy passes. A case may fail for a busy machine; so one counts if it fails three times.
func TestHTTP2Spec(t *testing.T) {
	files, _ := certificate(t)
	api := startWitness(t, 0)
	plain, gateway := freeAddress(t), freeAddress(t)
	startCaddyfile(t, nil, fmt.Sprintf("{\nadmin off\npersist_config off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel ERROR\n}\n}\n"+
		"https://%s {\ntls %s\nrespond hello\n}\n"+
		"https://%s {\ntls %s\nverify {\nupstream %s\ncredentials %s %s\nlimit off\n}\n}\n",
		plain, files, gateway, files, api.URL, gatewayKey, gatewaySecret), plain, gateway)
	var worse map[string]string
	for try := range 3 {
		fails, passes, cases := runH2spec(t, gateway)
		plainFails, plainPasses, _ := runH2spec(t, plain)
		if cases < 100 {
			t.Fatalf("h2spec ran %d cases", cases)
		}
		t.Logf("of %d cases the gateway passes %d, plain Caddy %d", cases, passes, plainPasses)
		for name := range fails {
			_, also := plainFails[name]
			if _, before := worse[name]; also || try > 0 && !before {
				delete(fails, name)
			}
		}
		if worse = fails; len(worse) == 0 {
			return
		}
	}
	names := []string{}
	for name, what := range worse {
		names = append(names, name+": "+what)
	}
	sort.Strings(names)
	t.Errorf("the gateway fails what plain Caddy passes:\n%s", strings.Join(names, "\n"))
}

// runH2spec returns what an address fails.
func runH2spec(t *testing.T, address string) (fails map[string]string, passes, cases int) {
	t.Helper()
	path, err := h2spec()
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(t.Context(), 6*patience)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--host", host, "--port", port, "--tls", "--insecure", "--strict", "--timeout", "2",
		"--path", "/verify/search/json?request_id=cc121958d8fb4368aa3bb762bb9a0f74", "--junit-report", report)
	out, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) { // it exits with 1 if a case fails
		t.Fatalf("h2spec: %v\n%s", err, out)
	}
	content, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("h2spec has made no report: %v\n%s", err, out)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string  `xml:"package,attr"`
				Name    string  `xml:"classname,attr"`
				Failure *string `xml:"failure"`
				Error   *string `xml:"error"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(content, &suites); err != nil {
		t.Fatal(err)
	}
	fails = map[string]string{}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			cases++
			switch {
			case c.Failure != nil:
				fails[c.Package+" "+c.Name] = *c.Failure
			case c.Error != nil:
				fails[c.Package+" "+c.Name] = *c.Error
			default:
				passes++
			}
		}
	}
	return fails, passes, cases
}
