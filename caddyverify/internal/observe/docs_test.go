package observe

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/telemetry.md anew")

// TestDocumentation keeps the tables of docs/telemetry.md equal to the code.
func TestDocumentation(t *testing.T) {
	const file = "../../../docs/telemetry.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for name, table := range map[string]string{"metrics": metricsTable(), "attributes": attributesTable()} {
		begin, end := "<!-- "+name+": made by go test ./caddyverify/internal/observe -update -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(text, begin)
		is, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("the document has no place for %s", name)
		}
		if *update {
			text = before + begin + table + end + after
		} else if is != table {
			t.Errorf("the table of %s is not what the code says; run the test with -update", name)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// metricsTable is the table of all metrics in docs/telemetry.md.
func metricsTable() string {
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it tells |\n|---|---|---|---|\n")
	for _, m := range Catalogue {
		var labels []string
		for _, l := range m.Labels {
			labels = append(labels, fmt.Sprintf("`%s`: %s", l.Name, l.Values))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.Type, strings.Join(labels, "<br>"), m.Help)
	}
	return b.String()
}

// attributesTable is the table of the gateway's own span attributes there.
func attributesTable() string {
	var b strings.Builder
	b.WriteString("| attribute | on | what it tells |\n|---|---|---|\n")
	for _, a := range Attributes {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Name, a.Spans, a.Meaning)
	}
	return b.String()
}
