package main

import (
	"os/exec"
	"strings"
	"testing"
)

// Every call is answered on every side, and each kind has a row.
func TestRun(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("there is no redis-server")
	}
	var out strings.Builder
	if err := run(5, &out); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(out.String(), "\n| "); rows != len(kinds) {
		t.Errorf("there are %d rows:\n%s", rows, out.String())
	}
}
