package caddyverify

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func TestLogFilter(t *testing.T) {
	request, err := http.NewRequest("447700900000", "http://447700900000.internal:8080/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.RequestURI = "/verify/check/json?code=48291537"
	request.RemoteAddr = "10.0.0.1:4711"
	request.TransferEncoding = []string{"447700900000"}
	request.TLS = &tls.ConnectionState{ServerName: "48291537"}
	request.Header = http.Header{
		"Accept": {"application/json, text/xml", "447700900000"}, "Content-Type": {"application/json; charset=utf-8", "application/json; code=48291537"},
		"Cookie": {"code=48291537"}, "X-447700900000": {"x"}, "User-Agent": {"48291537"}, "Cache-Status": {"48291537"},
	}
	tests := []struct {
		name  string
		field zap.Field
		want  string
	}{
		{"a URI", zap.String("uri", "/verify/json?number=447700900000"), `"/verify/json?number=REDACTED"`},
		{"no URI", zap.String("header", "X_447700900000"), `"REDACTED"`},
		{"a method", zap.String("method", "POST"), `"POST"`},
		{"no method", zap.String("method", "447700900000"), `"REDACTED"`},
		{"a long method", zap.String("method_trunc", "447700900000447700900000447700900000"), `"REDACTED"`},
		{"a host", zap.String("host", "verify.internal:8080"), `"verify.internal"`},
		{"an address", zap.String("host", "10.0.0.1:8080"), `"10.0.0.1"`},
		{"an address of version 6", zap.String("host", "[2001:db8::1234]:8080"), `"2001:db8::1234"`},
		{"the same without a port", zap.String("host", "[2001:db8::1234]"), `"[2001:db8::1234]"`},
		{"no host", zap.String("host", "447700900000"), `"REDACTED"`},
		{"a number", zap.Int64("uri", 447700900000), `"REDACTED"`},
		{"a list", zap.Strings("Referer", []string{"http://app.internal/?number=447700900000"}), `"REDACTED"`},
		{"anything", zap.Any("headers", map[string][]string{"X": {"447700900000"}}), `"REDACTED"`},
		{"the headers of an answer", zap.Object("resp_headers", caddyhttp.LoggableHTTPHeader{ShouldLogCredentials: true, Header: http.Header{
			"Location": {"/?code=48291537"}, "Set-Cookie": {"48291537"}, "Content-Type": {"text/html; charset=utf-8"},
			"Cache-Status": {"caddy-verify; hit; ttl=2"}, "Proxy-Status": {"other; details=48291537"},
		}}), `{"Cache-Status":["caddy-verify; hit; ttl=2"],"Content-Type":["text/html; charset=utf-8"],"Proxy-Status":["REDACTED"]}`},
		{
			"a request", zap.Object("request", caddyhttp.LoggableHTTPRequest{Request: request, ShouldLogCredentials: true}),
			`{"headers":{"Accept":["application/json, text/xml","REDACTED"],"Cache-Status":["REDACTED"],"Content-Type":["application/json; charset=utf-8","REDACTED"]},` +
				`"host":"REDACTED","method":"REDACTED","proto":"HTTP/1.1","remote_ip":"10.0.0.1","remote_port":"4711",` +
				`"tls":{"cipher_suite":0,"ech":false,"proto":"","resumed":false,"server_name":"REDACTED","version":0},"uri":"/verify/check/json?code=REDACTED"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			encoder := zapcore.NewMapObjectEncoder()
			LogFilter{}.Filter(test.field).AddTo(encoder)
			got, err := json.Marshal(encoder.Fields[test.field.Key])
			if err != nil || string(got) != test.want || len(encoder.Fields) != 1 {
				t.Errorf("got\n%s, want\n%s, %v", got, test.want, err)
			}
		})
	}
	if request.Host != "447700900000.internal:8080" || len(request.Header) != 6 {
		t.Error("the request itself was changed")
	}
}
