package caddyverify

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

var update = flag.Bool("update", false, "write the JSON of the golden adapt tests anew")

const goldenLine = "----------\n"

// TestAdapt compares what Caddyfiles turn into, testdata/adapt/*.caddytest, with
// the JSON in the same file.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddytest")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddytest"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(content), goldenLine)
			got := adapt(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+goldenLine+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestExampleIsFormatted keeps Caddyfile.example as caddy fmt would write it.
func TestExampleIsFormatted(t *testing.T) {
	example, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(example); !bytes.Equal(formatted, example) {
		t.Errorf("caddy fmt would write\n%s", formatted)
	}
}

func adapt(t *testing.T, input string) string {
	t.Helper()
	config, err := adaptCaddyfile(input)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, config, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func adaptCaddyfile(input string) ([]byte, error) {
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input), map[string]any{"filename": "Caddyfile"})
	return config, err
}

// TestExampleExportsNothing keeps what pushes metrics and spans out of what
// Caddyfile.example says without being asked: their default is an endpoint that
// hardly anybody has.
func TestExampleExportsNothing(t *testing.T) {
	config := string(shippedConfig(t, nil))
	for _, word := range []string{`"otlp"`, `"tracing"`} {
		if strings.Contains(config, word) {
			t.Errorf("it has %s", word)
		}
	}
	asked := string(shippedConfig(t, map[string]string{"# otlp": "otlp", "# tracing /verify/* {": "tracing /verify/* {\nspan verify\n}"}))
	if !strings.Contains(asked, `"otlp":true`) || !strings.Contains(asked, `"handler":"tracing"`) {
		t.Errorf("taken in, they are not there: %s", asked)
	}
}
