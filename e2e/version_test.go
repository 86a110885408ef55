//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestVersion has the commands and the metric tell one version, which with E2E_CADDY is that of the checkout's commit.
func TestVersion(t *testing.T) {
	address := freeAddress(t)
	startCaddyfile(t, nil, caddyfile(address, "metrics /metrics\nverify {\ncredentials "+gatewayKey+" "+gatewaySecret+"\n}"), address)
	response, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	scraped, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^verify_build_info\{.*version="(v?[^"]+)"\} 1$`).FindSubmatch(scraped)
	if version == nil {
		t.Fatalf("the metrics have no version:\n%s", scraped)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	said, err := exec.Command(path, "verify", "version").Output()
	if err != nil || strings.TrimSpace(string(said)) != string(version[1]) {
		t.Errorf("the metric says %s, verify version (%v) %s", version[1], err, said)
	}
	built := string(version[1])
	if strings.HasPrefix(built, "dev") {
		built = "(devel)"
	}
	told, err := exec.Command(path, "build-info").Output()
	if err != nil || !strings.Contains(string(told), "github.com/caddyverify/caddy-verify\t"+built) {
		t.Errorf("the metric says %s, build-info (%v)\n%s", version[1], err, told)
	}
}
