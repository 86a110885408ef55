//go:build e2e

package e2e

import (
	"crypto/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestRunbookLogs runs the commands in the runbooks that read the log on what Caddyfile.example logs in trouble.
func TestRunbookLogs(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		t.Fatalf("there is no jq; on Debian: apt-get install jq (%v)", err)
	}
	log := exampleInTrouble(t)
	runbooks, err := filepath.Glob("../dashboards/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, file := range runbooks {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range regexp.MustCompile(`(?m)^ +.*\bjq\b.*$`).FindAllString(string(content), -1) {
			pipeline, reads := strings.CutPrefix(strings.TrimSpace(line), "journalctl -u caddy -o cat --since -1h | ")
			if !reads {
				t.Errorf("%s: it does not say which log: %s", filepath.Base(file), line)
				continue
			}
			commands++
			command := exec.Command("bash", "-o", "pipefail", "-c", pipeline)
			command.Stdin = strings.NewReader(log)
			out, err := command.CombinedOutput()
			if err != nil || !regexp.MustCompile(`\bcheckout\b|\bupstream_error\b|\bdeny_prefix\b`).Match(out) {
				t.Errorf("%s: %s (%v)\n%s", filepath.Base(file), pipeline, err, out)
			}
			t.Logf("%s\n%s", pipeline, out)
		}
	}
	if commands < 4 {
		t.Errorf("the runbooks have %d commands that read the log", commands)
	}
	if t.Failed() {
		t.Log(log)
	}
}

// exampleInTrouble is what Caddyfile.example prints, to the end, while an application is refused, by limit and guard, and the provider is away.
func exampleInTrouble(t *testing.T) string {
	t.Helper()
	api, err := sandbox.New(sandbox.Config{Limit: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	content, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	address, secrets := freeAddress(t), t.TempDir()
	for name, value := range map[string]string{"vonage_api_key": gatewayKey, "vonage_api_secret": gatewaySecret} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := strings.NewReplacer(
		"/run/secrets", secrets,
		"\t\t# guard {", "\t\tguard {\n\t\t\tdeny_prefix enforce 4499\n\t\t}\n\t\t# guard {",
		"\n{\n", "\n{\n\tadmin off\n\tpersist_config off\n",
		"\n:8080 {", "\nhttp://"+address+" {\n\tmap {http.request.header.X-App} {http.auth.user.id} {\n\t\t~^(.+)$ $1\n\t}",
		"https://api.nexmo.com", provider.URL,
	).Replace(string(content))
	caddy := startCaddyfile(t, nil, config, address)
	call := func(path, form string) {
		r, err := http.NewRequest(http.MethodPost, "http://"+address+path, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-App", "checkout")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	call("/verify/json", "number=447700900000&brand=Acme")
	call("/verify/json", "number=449912345678&brand=Acme") // which the guard refuses
	var flood sync.WaitGroup                               // far beyond the limit of 28 a second
	for range 100 {
		flood.Go(func() { call("/verify/search/json", "request_id="+strings.ToLower(rand.Text())) })
	}
	flood.Wait()
	if err := api.SetFaults(sandbox.Fault{Kind: "http", Value: "503"}); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(caddy.output.String(), "breaker changed") {
		call("/verify/check/json", "request_id="+strings.ToLower(rand.Text())+"&code=1234")
	}
	caddy.interrupt(t)
	return caddy.output.String()
}
