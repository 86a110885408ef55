// Generate writes the dashboards and the Prometheus rules of caddy-verify:
//
//	go run -C dashboards/generate .
//
// What it writes is kept beside it in the repository, and a test keeps both equal.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	folder := flag.String("output", "..", "the `folder` to write to")
	flag.Parse()
	files, err := generate()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, content := range files {
		path := filepath.Join(*folder, filepath.FromSlash(name))
		if err := os.WriteFile(path, content, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// rulesFile is where the rules are, under dashboards/.
const rulesFile = "rules/verify.rules.yml"

// generate makes the files, by their names under dashboards/.
func generate() (map[string][]byte, error) {
	files := map[string][]byte{rulesFile: printRules(groups())}
	for _, d := range dashboards() {
		var content bytes.Buffer
		encoder := json.NewEncoder(&content)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(d); err != nil {
			return nil, fmt.Errorf("dashboard %s: %w", *d.Uid, err)
		}
		files[file(d)] = content.Bytes()
	}
	return files, nil
}

// dashboards are all of them, in the order in which they are linked.
func dashboards() []*Dashboard {
	return []*Dashboard{overview(), funnel(), upstream(), cache(), cost(), callers()}
}
