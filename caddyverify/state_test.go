package caddyverify

import (
	"slices"
	"testing"
)

// What was made for something else must go before it: the next configuration, which
// may come in between, would find the one without the other.
func TestCleanupGoesBackward(t *testing.T) {
	type key struct{ name string }
	h := new(Handler)
	var ended []string
	for _, name := range []string{"list", "member"} {
		keep(h, key{name}, func() string { return name }, func(name string) { ended = append(ended, name) })
	}
	if err := h.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if want := []string{"member", "list"}; !slices.Equal(ended, want) {
		t.Errorf("%v ended, want %v", ended, want)
	}
}
