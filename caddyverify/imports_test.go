package caddyverify

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caddyverify/caddy-verify/"

// mayImport says which of the other rooms of caddyverify/internal a room may import. What
// is not listed may import none but wire.
var mayImport = map[string][]string{
	"wire":            nil,
	"stdlog":          nil,
	"country":         nil,
	"event":           nil,
	"lease":           nil,
	"watch":           nil,
	"version":         nil,
	"store":           {"wire"},
	"store/storetest": {"store"},
	"traffic":         nil,
	"observe":         {"wire", "version", "store", "relay"},
	"upstream":        {"wire", "version"},
	"upstream/v2":     {"wire", "version", "country", "state", "upstream"},
	"probe":           {"wire", "lease"},
	"suspend":         {"wire", "event", "probe"},
	"breaker":         {"wire", "event", "probe"},
	"limit":           {"wire", "event", "store"},
	"ledger":          {"wire"},
	"guard":           {"wire", "event"},
	"state":           {"wire", "store"},
	"webhook":         {"wire", "state"},
	"relay":           nil,
	"record":          {"wire", "guard"},
	"search":          {"wire", "store"},
	"delivery":        {"wire", "store"},
	"caller":          nil,
	"doctor":          {"wire", "upstream"},
	"history":         {"wire"},
	"live":            {"wire", "history", "gateway", "status"},
	"status":          {"wire", "breaker", "guard", "history", "gateway"},
	"gateway":         {"wire", "caller", "event", "guard", "history", "lease", "country", "suspend", "breaker", "limit", "retry", "ledger", "record", "delivery", "search", "state", "store", "observe", "upstream", "upstream/v2", "webhook", "relay"},
}

// TestImports holds the house to its plan: arrows point from caddyverify to gateway, from
// there to the policies, and from these to wire; only the face knows Caddy.
func TestImports(t *testing.T) {
	seen := 0
	for _, line := range goList(t, "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...") {
		path, rest, _ := strings.Cut(line, " ")
		room, internal := strings.CutPrefix(path, module+"caddyverify/internal/")
		if !internal {
			continue
		}
		seen++
		allowed, listed := mayImport[room]
		if !listed {
			allowed = []string{"wire"}
		}
		for imported := range strings.FieldsSeq(rest) {
			other, ours := strings.CutPrefix(imported, module)
			other = strings.TrimPrefix(other, "caddyverify/internal/")
			if ours && !slices.Contains(allowed, other) {
				t.Errorf("internal/%s imports %s", room, other)
			}
		}
	}
	if seen < 15 {
		t.Errorf("only %d rooms were looked at", seen)
	}
}

func TestOnlyTheFaceKnowsCaddy(t *testing.T) {
	for _, path := range goList(t, "-deps", "./internal/...", "./sandbox") {
		if strings.HasPrefix(path, "github.com/caddyserver/caddy") {
			t.Errorf("%s is a part of what knows no Caddy", path)
		}
	}
	for _, path := range goList(t, "-deps", ".") {
		if strings.HasPrefix(path, "github.com/redis/") {
			t.Errorf("who does not import the store on Redis carries %s", path)
		}
	}
	for _, path := range goList(t, "-deps", "./sandbox") {
		if strings.HasPrefix(path, module+"caddyverify/internal/") {
			t.Errorf("the sandbox shares %s with the gateway: a misreading of the API could agree with itself", path)
		}
	}
}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
