package breaker

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name     string
		settings Settings
		want     string // start of the error, empty for none
	}{
		{"defaults", Settings{}, ""},
		{"three times the timeout", Settings{Window: 45 * time.Second, Timeout: 15 * time.Second}, ""},
		{"a window below three times the timeout", Settings{Timeout: 10*time.Second + 1}, "window must be at least three times the timeout"},
		{"a short window", Settings{Window: 29 * time.Second}, "window must be at least three times the timeout of 10s, which is 30s, not 29s"},
		{"a tiny window", Settings{Window: time.Millisecond, Timeout: 1}, "window"},
		{"a negative timeout", Settings{Timeout: -1}, "timeout"},
		{"open time", Settings{OpenFor: -1}, "open_for"},
		{"open time beyond its end", Settings{OpenFor: 2 * time.Minute}, "open_for must be at most 1m0s, not 2m0s"},
		{"the longest open time", Settings{OpenFor: time.Minute}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.settings.Validate()
			if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Validate() = %v, want %q", err, tt.want)
			}
		})
	}
}
