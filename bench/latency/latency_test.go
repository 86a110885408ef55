package main

import (
	"strings"
	"testing"
)

// Every call is answered on every side, and each has a row.
func TestRun(t *testing.T) {
	var out strings.Builder
	if err := run(5, &out); err != nil {
		t.Fatal(err)
	}
	if rows := strings.Count(out.String(), "\n"); rows != 2+len(operations)*3 {
		t.Errorf("there are %d rows:\n%s", rows, out.String())
	}
}
