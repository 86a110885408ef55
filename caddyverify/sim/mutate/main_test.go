package main

import (
	"os"
	"testing"
)

// TestMutants: each bug can be planted still.
func TestMutants(t *testing.T) {
	for _, m := range Mutants {
		content, err := os.ReadFile("../../../" + m.File)
		if err != nil {
			t.Fatal(err)
		}
		if planted, err := m.Plant(string(content)); err != nil || planted == string(content) {
			t.Errorf("%s: %v", m.About, err)
		}
	}
}
