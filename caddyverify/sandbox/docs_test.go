package sandbox

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/sandbox.md anew")

// TestDocumentation keeps the tables of docs/sandbox.md equal to the code, and the
// package comment complete.
func TestDocumentation(t *testing.T) {
	const file = "../../docs/sandbox.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for name, table := range map[string]string{"numbers": numbersTable(), "faults": faultsTable(), "workflows": workflowsTable(), "numbers of v2": numbersTableV2()} {
		begin, end := "<!-- "+name+": made by go test ./caddyverify/sandbox -update -->\n", "<!-- end -->"
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
	comment, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range forced {
		if line := "//\t" + forcedNumber(status) + "  " + status + " "; !strings.Contains(string(comment), line) {
			t.Errorf("the package comment has no line %q", line)
		}
	}
	for _, kind := range FaultKinds() {
		if !strings.Contains(string(comment), "//\t"+kind+" ") {
			t.Errorf("the package comment does not name the fault %s", kind)
		}
	}
}

func numbersTable() string {
	var b strings.Builder
	b.WriteString("| number | status | error_text | beyond the answer |\n|---|---|---|---|\n")
	for _, status := range forced {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", forcedNumber(status), status, errorText("request", status, ""), gatewayHolds[status])
	}
	return b.String()
}

func numbersTableV2() string {
	var b strings.Builder
	b.WriteString("| number | HTTP | title: detail | beyond the answer |\n|---|---|---|---|\n")
	s, err := New(Config{API: V2})
	if err != nil {
		panic(err)
	}
	for _, status := range append(slices.Clone(forced), forcedLowBalance) {
		number := forcedNumber(status)
		r := httptest.NewRequest("POST", PathV2, strings.NewReader(oneStep(number, "")))
		r.SetBasicAuth("key", "secret")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var p struct{ Title, Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			panic(err)
		}
		said := p.Title + ": " + p.Detail
		if w.Code == http.StatusAccepted {
			said = "it begins, and is found to be a fraud 5 s later: what is told of it is `blocked`"
		}
		fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", number, w.Code, said, gatewayHolds[s.Calls()[len(s.Calls())-1].Status])
	}
	return b.String()
}

func faultsTable() string {
	var b strings.Builder
	b.WriteString("| kind | value | the call is carried out | what it does |\n|---|---|---|---|\n")
	for _, name := range FaultKinds() {
		k := kinds[name]
		value := map[string]string{"duration": "a duration such as `500ms`", "url": "a URL, or none", "number": fmt.Sprintf("%d to %d", k.from, k.to)}[k.value]
		if k.number != 0 {
			value += fmt.Sprintf(", or none: %d", k.number)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, value, map[bool]string{true: "yes", false: "no"}[k.works], k.does)
	}
	return b.String()
}

func workflowsTable() string {
	var b strings.Builder
	b.WriteString("| workflow_id | messages, and the wait after each |\n|---|---|\n")
	for id, steps := range workflows {
		if id == 0 {
			continue
		}
		var all []string
		for _, s := range steps {
			if s.wait == 0 {
				all = append(all, s.kind)
				continue
			}
			all = append(all, fmt.Sprintf("%s %d s", s.kind, int(s.wait.Seconds())))
		}
		fmt.Fprintf(&b, "| %d | %s |\n", id, strings.Join(all, ", "))
	}
	return b.String()
}
