package caddyverify

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// TestTryItOfV2 runs what docs/v2.md shows under "Try it", on free ports and with a sandbox in a hurry.
func TestTryItOfV2(t *testing.T) {
	page, err := os.ReadFile("../docs/v2.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Try it\n")
	_, config, _ := strings.Cut(section, "<<'EOF'\n")
	config, commands, _ := strings.Cut(config, "EOF\n")
	_, flags, _ := strings.Cut(commands, "./caddy verify sandbox ")
	flags, _, _ = strings.Cut(flags, " &\n")

	t.Chdir(t.TempDir())
	private, _ := applicationKey()
	put(t, "key.pem", private)
	put(t, "signature_secret", "a-secret-for-trying-it-out\n")
	gateway := freeAddress(t)
	flags = strings.ReplaceAll(replace(t, flags, "localhost:8080", gateway), "'", "") + " --speed 60"
	api, err := aloneSandbox(sandboxCommand(t, strings.Fields(flags)...))
	if err != nil {
		t.Fatal(err)
	}
	provider := serveSites(t, site{handler: api})[0]
	config = replace(t, replace(t, config, "http://localhost:8080", "http://"+gateway), "http://localhost:8081", provider.URL)
	adapted, err := adaptCaddyfile("{\nadmin off\npersist_config off\n" + strings.TrimPrefix(config, "{\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := loadConfig(adapted); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = caddy.Stop() })

	call := func(path, form string) reply { return postForm(t, "http://"+gateway+"/verify/"+path, form) }
	id := call("json", "number=447700900000&brand=Acme").field("request_id")
	if got := call("check/json", "code=1234&request_id="+id); got.field("status") != "0" {
		t.Errorf("the check: %s", got.body)
	}
	if got := call("search/json", "request_id="+id); !strings.Contains(got.body, `"status":"SUCCESS"`) {
		t.Errorf("the search: %s", got.body)
	}
	id = call("json", "number=447700900107&brand=Acme").field("request_id")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		got := call("search/json", "request_id="+id)
		if got.field("status") == "FAILED" {
			return
		}
		if got.field("status") != "IN PROGRESS" || time.Now().After(deadline) {
			t.Fatalf("of a number that is blocked: %s", got.body)
		}
	}
}
