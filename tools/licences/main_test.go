package main

import (
	"os"
	"strings"
	"testing"
)

// TestPage compares docs/licences.md with what is linked now.
func TestPage(t *testing.T) {
	want := new(strings.Builder)
	if err := write(want, "../.."); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/licences.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want.String() {
		t.Error("docs/licences.md is out of date; run: go run -C tools ./licences >docs/licences.md")
	}
}

func TestUnknownLicence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/LICENSE", []byte("All rights reserved."), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := licencesIn(dir); err != nil || len(found) != 0 {
		t.Errorf("got %v, %v", found, err)
	}
}
