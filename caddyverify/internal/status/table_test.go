package status

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// Two accounts may have one label; which comes first is not to change from one look to the next.
func TestSort(t *testing.T) {
	named := func(label string, names ...string) Account { return Account{Account: label, Names: names} }
	want := []Account{named("a@x"), named("b@x", "login"), named("b@x", "shop", "shop2"), named("c@x", "bank")}
	got := slices.Clone(want)
	slices.Reverse(got)
	Sort(got)
	for i := range got {
		if got[i].Account != want[i].Account || !slices.Equal(got[i].Names, want[i].Names) {
			t.Errorf("at %d is %s %v, want %s %v", i, got[i].Account, got[i].Names, want[i].Account, want[i].Names)
		}
	}
}

// Lines do not end in blanks, which make a terminal break them.
func TestWriteEndsLines(t *testing.T) {
	var text strings.Builder
	s := Status{Accounts: []Account{{Account: "a@x", State: OK, Circuits: []Circuit{{Breaker: wire.ReadClass, State: wire.CircuitClosed}}}}}
	if err := s.Write(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if strings.HasSuffix(line, " \n") {
			t.Errorf("a line is %q", line)
		}
	}
}

// What a caller is called moves no cursor and no column.
func TestWriteNames(t *testing.T) {
	const name = "a\tb\n\x1b[31m\u009b2J"
	status := Status{Accounts: []Account{{State: OK, Hour: Window{Callers: []Group{{Name: name}}}}}}
	verification := Verification{Summary: "It was started by " + name + ".", Caller: name}
	for what, document := range map[string]interface{ Write(w io.Writer) error }{"status": &status, "verification": &verification} {
		var text strings.Builder
		if err := document.Write(&text); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(text.String(), "\t\x1b\u009b") || !strings.Contains(text.String(), "a?b??[31m?2J") {
			t.Errorf("the %s is\n%q", what, text.String())
		}
	}
}
