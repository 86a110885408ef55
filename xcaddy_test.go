// Package caddy_verify_test keeps what the repository says about itself true.
package caddy_verify_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	_ "github.com/caddyverify/caddy-verify/caddyverify"
	_ "github.com/caddyverify/caddy-verify/caddyverify/redis"
)

// description is all that xcaddy.json may say: what xcaddy.Builder reads, and what only readers do. Anything else is a
// slip of the pen that a build would ignore.
type description struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	License     string   `json:"license"`
	Repository  string   `json:"repository"`
	Keywords    []string `json:"keywords"`
	Modules     []string `json:"modules"`
	Directives  []string `json:"directives"`

	CaddyVersion string `json:"caddy_version"`
	Plugins      []struct {
		ModulePath string `json:"module_path"`
		Version    string `json:"version"`
	} `json:"plugins"`
	Replacements []struct {
		Old string `json:"old"`
		New string `json:"new"`
	} `json:"replacements"`
}

// goMod is what `go mod edit -json` tells of go.mod.
type goMod struct {
	Module    struct{ Path string }
	Toolchain string
	Require   []struct{ Path, Version string }
}

func TestXcaddy(t *testing.T) {
	about, mod := readXcaddy(t), readGoMod(t)

	t.Run("Caddy is the required one", func(t *testing.T) {
		var required string
		for _, r := range mod.Require {
			if r.Path == "github.com/caddyserver/caddy/v2" {
				required = r.Version
			}
		}
		if about.CaddyVersion != required || required == "" {
			t.Errorf("caddy_version is %q, go.mod requires %q", about.CaddyVersion, required)
		}
	})

	t.Run("README.md names the versions", func(t *testing.T) {
		readme, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"With Go " + strings.TrimPrefix(mod.Toolchain, "go") + " or newer", "xcaddy build " + about.CaddyVersion + " --with " + about.Plugins[0].ModulePath} {
			if !strings.Contains(string(readme), text) {
				t.Errorf("it does not say %q", text)
			}
		}
	})

	t.Run("plugins are packages of this module", func(t *testing.T) {
		if len(about.Plugins) == 0 {
			t.Error("there are none")
		}
		for _, p := range about.Plugins {
			folder, ok := strings.CutPrefix(p.ModulePath, mod.Module.Path+"/")
			if files, _ := filepath.Glob(filepath.Join(filepath.FromSlash(folder), "*.go")); !ok || len(files) == 0 {
				t.Errorf("%s is no package of %s", p.ModulePath, mod.Module.Path)
			}
		}
	})

	t.Run("the checkout stands in for the module", func(t *testing.T) {
		if len(about.Replacements) != 1 || about.Replacements[0].Old != mod.Module.Path || about.Replacements[0].New != "." {
			t.Errorf("replacements are %v, want %s by the checkout", about.Replacements, mod.Module.Path)
		}
	})

	t.Run("repository is the module's", func(t *testing.T) {
		if about.Repository != "https://"+mod.Module.Path {
			t.Errorf("repository is %q, the module %q", about.Repository, mod.Module.Path)
		}
	})

	t.Run("modules are those that register", func(t *testing.T) {
		var registered []string
		for _, id := range caddy.Modules() {
			info, err := caddy.GetModule(id)
			if err != nil {
				t.Fatal(err)
			}
			module := reflect.TypeOf(info.New())
			if module.Kind() == reflect.Pointer {
				module = module.Elem()
			}
			if strings.HasPrefix(module.PkgPath(), mod.Module.Path+"/") {
				registered = append(registered, id)
			}
		}
		if !slices.Equal(about.Modules, registered) {
			t.Errorf("modules are\n\t%q, these register\n\t%q", about.Modules, registered)
		}
	})

	t.Run("directives are known to the Caddyfile", func(t *testing.T) {
		adapter := caddyfile.Adapter{ServerType: httpcaddyfile.ServerType{}}
		for _, directive := range about.Directives {
			_, _, err := adapter.Adapt([]byte(":80 {\n\t"+directive+"\n}\n"), nil)
			if err != nil && strings.Contains(err.Error(), "unrecognized directive") {
				t.Error(err)
			}
		}
	})
}

func readXcaddy(t *testing.T) description {
	t.Helper()
	data, err := os.ReadFile("xcaddy.json")
	if err != nil {
		t.Fatal(err)
	}
	var d description
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Fatalf("something follows the object: %v", err)
	}
	return d
}

func readGoMod(t *testing.T) goMod {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var m goMod
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}
