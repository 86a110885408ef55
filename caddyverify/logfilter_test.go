package caddyverify

import (
	"testing"

	"go.uber.org/zap"
)

func TestLogFilter(t *testing.T) {
	var filter LogFilter
	if got := filter.Filter(zap.String("uri", "/verify/json?number=447700900000")); got.Key != "uri" || got.String != "/verify/json?number=REDACTED" {
		t.Errorf("a URI became %+v", got)
	}
	for _, field := range []zap.Field{
		zap.Int64("n", 447700900000),
		zap.Strings("Referer", []string{"http://app.internal/?number=447700900000"}),
		zap.Any("headers", map[string][]string{"X": {"447700900000"}}),
	} {
		if got := filter.Filter(field); got.Key != field.Key || got.String != "REDACTED" || got.Integer != 0 || got.Interface != nil {
			t.Errorf("%+v became %+v", field, got)
		}
	}
}
