// Command licences lists the modules that are linked into cmd/caddy with their licences, as a page:
//
//	go run -C tools ./licences >docs/licences.md
//
// A module whose licence is not one of those allowed below ends it with an error.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed may be linked into a program under Apache-2.0 that is given away. All of them
// ask for their text and copyright to go with it; MPL-2.0 also for its own files' source, and
// OFL-1.1 is that of fonts.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "OFL-1.1", "Unlicense", "Zlib"}

// module is one of those that `go list` names.
type module struct {
	Path, Version, Dir string
	Main               bool
}

func main() {
	if err := write(os.Stdout, ".."); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

const head = `# Licences

caddy-verify is under [Apache-2.0](../LICENSE). These modules are linked into ` + "`cmd/caddy`" + `, each under the licences that its
own folder has, for Linux on amd64. Made by ` + "`go run -C tools ./licences`" + `; licences other than those listed there end that with an error.

| module | version | licence |
|---|---|---|
`

// write makes the page for a checkout.
func write(to io.Writer, checkout string) error {
	modules, err := linked(checkout)
	if err != nil {
		return err
	}
	text := new(strings.Builder)
	text.WriteString(head)
	var refused error
	for _, m := range modules {
		found, err := licencesIn(m.Dir)
		if err != nil {
			return err
		}
		for _, one := range found {
			if !slices.Contains(allowed, one) {
				refused = errors.Join(refused, fmt.Errorf("%s is under %s", m.Path, one))
			}
		}
		if len(found) == 0 {
			refused = errors.Join(refused, fmt.Errorf("%s has no licence in %s", m.Path, m.Dir))
		}
		fmt.Fprintf(text, "| %s | %s | %s |\n", m.Path, m.Version, strings.Join(found, ", "))
	}
	if refused != nil {
		return refused
	}
	_, err = io.WriteString(to, text.String())
	return err
}

// linked lists the modules in the binary, by path.
func linked(checkout string) ([]module, error) {
	cmd := exec.Command("go", "list", "-deps", "-json=Module", "./cmd/caddy")
	cmd.Dir = checkout
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	cmd.Stderr = new(strings.Builder)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, cmd.Stderr)
	}
	var modules []module
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var listed struct{ Module *module }
		if err := decoder.Decode(&listed); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if m := listed.Module; m != nil && !m.Main { // the standard library is in none
			modules = append(modules, *m)
		}
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(modules, func(a, b module) bool { return a.Path == b.Path }), nil
}

// licencesIn lists those of the files at the top of a module.
func licencesIn(dir string) (found []string, err error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name := strings.ToUpper(file.Name())
		if file.IsDir() || !strings.Contains(name, "LICEN") && !strings.HasPrefix(name, "COPYING") && !strings.HasPrefix(name, "UNLICENSE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		for _, match := range licensecheck.Scan(text).Match {
			if !match.IsURL {
				found = append(found, match.ID)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
