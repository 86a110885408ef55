package limit

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		want     string // part of the error, empty for none
	}{
		{"defaults", Settings{}, ""},
		{"off", Settings{Rate: -1}, ""},
		{"slow", Settings{Rate: 1}, ""},
		{"absurd", Settings{Rate: 1_000_000}, "limit must be at most"},
		{"shares", Settings{Callers: map[string]Share{"a": {}, "b": {Weight: 1000, Rate: 10_000}}}, ""},
		{"too light", Settings{Callers: map[string]Share{"a": {Weight: -1}}}, `caller "a": weight must be`},
		{"too heavy", Settings{Callers: map[string]Share{"a": {Weight: 1001}}}, `caller "a": weight must be`},
		{"no calls", Settings{Callers: map[string]Share{"a": {Rate: -1}}}, `caller "a": limit must be`},
		{"too fast", Settings{Callers: map[string]Share{"a": {Rate: 10_001}}}, `caller "a": limit must be`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.settings.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}
