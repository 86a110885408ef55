//go:build e2e

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
)

// certificate leaves the certificate of httptest, which is for 127.0.0.1, as files for Caddy, and trusts it.
func certificate(t *testing.T) (files string, trust *tls.Config) {
	t.Helper()
	model := httptest.NewTLSServer(nil)
	defer model.Close()
	key, err := x509.MarshalPKCS8PrivateKey(model.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: model.Certificate().Raw},
		"key.pem":  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(model.Certificate())
	return filepath.Join(folder, "cert.pem") + " " + filepath.Join(folder, "key.pem"), &tls.Config{RootCAs: roots}
}

// hostile are calls that are wrong, odd or meant ill, as far as a client can say them over each HTTP.
var hostile = []struct {
	name, method, target string
	header               http.Header
	contentType, body    string
}{
	{name: "a good one", target: "/verify/json?number=447700900000&brand=Acme"},
	{name: "a good form", method: "POST", target: "/verify/check/json", contentType: asForm, body: "request_id=a&code=1234"},
	{name: "a good search", target: "/verify/search/json?request_id=a"},

	{name: "PUT", method: "PUT", target: "/verify/json", contentType: asForm, body: "number=447700900000&brand=Acme"},
	{name: "HEAD", method: "HEAD", target: "/verify/json?number=447700900000&brand=Acme"},
	{name: "OPTIONS", method: "OPTIONS", target: "/verify/json"},
	{name: "TRACE", method: "TRACE", target: "/verify/json"},
	{name: "a method of nobody's", method: "VERIFY", target: "/verify/json"},
	{name: "a GET with a form", method: "GET", target: "/verify/json", contentType: asForm, body: "number=447700900000&brand=Acme"},

	{name: "two slashes", target: "//verify/json?number=447700900000&brand=Acme"},
	{name: "a slash too many", target: "/verify//json?number=447700900000&brand=Acme"},
	{name: "a slash at the end", target: "/verify/json/?number=447700900000&brand=Acme"},
	{name: "dots", target: "/verify/check/../json?number=447700900000&brand=Acme"},
	{name: "escaped dots", target: "/verify/%2e%2e/json?number=447700900000&brand=Acme"},
	{name: "an escaped slash", target: "/verify%2fjson?number=447700900000&brand=Acme"},
	{name: "an escaped letter", target: "/%76erify/json?number=447700900000&brand=Acme"},
	{name: "a backslash", target: "/verify/..%5cjson?number=447700900000&brand=Acme"},
	{name: "NUL in the path", target: "/verify/json%00?number=447700900000&brand=Acme"},
	{name: "capitals", target: "/VERIFY/JSON?number=447700900000&brand=Acme"},
	{name: "a semicolon", target: "/verify/json;v=1?number=447700900000&brand=Acme"},
	{name: "no format", target: "/verify/check?request_id=a&code=1234"},
	{name: "an unknown format", target: "/verify/check/yaml?request_id=a&code=1234"},
	{name: "network-unblock", method: "POST", target: "/verify/network-unblock", contentType: asJSON, body: `{"network":"23410"}`},
	{name: "a long path", target: "/verify/" + strings.Repeat("a", 4000)},

	{name: "no parameters", target: "/verify/json"},
	{name: "undecodable", target: "/verify/json?number=%zz&brand=Acme"},
	{name: "a number with NUL", target: "/verify/json?number=44%007700900000&brand=Acme"},
	{name: "a line break in an id", target: "/verify/check/json?request_id=a%0d%0aX-Evil:1&code=1234"},
	{name: "a code with a tag", target: "/verify/check/json?request_id=a&code=%3Cb%3E"},
	{name: "two values", target: "/verify/check/json?request_id=a&request_id=b&code=1234"},
	{name: "eleven ids", target: "/verify/search/json?request_ids=" + strings.Join(strings.Split("abcdefghijk", ""), "&request_ids=")},
	{name: "a long query", target: "/verify/json?number=" + strings.Repeat("1", 8200)},
	{name: "many parameters", target: "/verify/json?" + strings.Repeat("a=1&", 65)},
	{name: "Latin-1", method: "POST", target: "/verify/json", contentType: asForm + "; charset=iso-8859-1", body: "number=447700900000&brand=Caf%E9"},

	{name: "a body of 16 KiB and more", method: "POST", target: "/verify/json", contentType: asForm, body: "number=447700900000&brand=Acme&x=" + strings.Repeat("x", 16<<10)},
	{name: "a body of 1 MiB", method: "POST", target: "/verify/json", contentType: asForm, body: "number=447700900000&brand=" + strings.Repeat("x", 1<<20)},
	{name: "plain text", method: "POST", target: "/verify/json", contentType: "text/plain", body: "number=447700900000&brand=Acme"},
	{name: "no type", method: "POST", target: "/verify/json", body: "number=447700900000&brand=Acme"},
	{name: "a type that is none", method: "POST", target: "/verify/json", contentType: "a/b/c; =", body: "number=447700900000&brand=Acme"},
	{name: "multipart", method: "POST", target: "/verify/json", contentType: "multipart/form-data; boundary=x", body: "--x\r\nContent-Disposition: form-data; name=\"number\"\r\n\r\n1\r\n--x--\r\n"},
	{name: "JSON as a form", method: "POST", target: "/verify/json", contentType: asForm, body: `{"number":"447700900000","brand":"Acme"}`},
	{name: "half of a JSON", method: "POST", target: "/verify/json", contentType: asJSON, body: `{"number":"447700900000","brand":"Ac`},
	{name: "JSON twice", method: "POST", target: "/verify/json", contentType: asJSON, body: `{"number":"447700900000","brand":"Acme"}{}`},
	{name: "JSON with a member twice", method: "POST", target: "/verify/json", contentType: asJSON, body: `{"number":"447700900000","number":"1","brand":"Acme"}`},
	{name: "deep JSON", method: "POST", target: "/verify/json", contentType: asJSON, body: strings.Repeat("[", 8000)},
	{name: "JSON that is not UTF-8", method: "POST", target: "/verify/json", contentType: asJSON, body: "{\"number\":\"447700900000\",\"brand\":\"Ac\xffme\"}"},
	{name: "UTF-16", method: "POST", target: "/verify/json", contentType: asJSON + "; charset=utf-16", body: "\xff\xfe{\x00}\x00"},
	{name: "said to be gzip", method: "POST", target: "/verify/json", header: http.Header{"Content-Encoding": {"gzip"}}, contentType: asForm, body: "number=447700900000&brand=Acme"},
	{name: "an empty form", method: "POST", target: "/verify/json", contentType: asForm},
	{name: "a GET without a body, as JSON", target: "/verify/json?number=447700900000&brand=Acme", contentType: asJSON},

	{name: "from a page", target: "/verify/json?number=447700900000&brand=Acme", header: http.Header{"Origin": {"https://evil.example"}}},
	{name: "from another site", target: "/verify/json?number=447700900000&brand=Acme", header: http.Header{"Sec-Fetch-Site": {"cross-site"}}},
	{name: "a key too long", target: "/verify/json?number=447700900000&brand=Acme", header: http.Header{"Idempotency-Key": {strings.Repeat("k", 300)}}},
	{name: "two keys", target: "/verify/json?number=447700900000&brand=Acme", header: http.Header{"Idempotency-Key": {"a", "b"}}},
	{name: "a long header", target: "/verify/search/json?request_id=a", header: http.Header{"Cookie": {strings.Repeat("c", 8<<10)}}},
	{name: "many headers", target: "/verify/search/json?request_id=a", header: manyHeaders(100)},
	{name: "another method inside", target: "/verify/search/json?request_id=a", header: http.Header{"X-Http-Method-Override": {"DELETE"}, "X-Original-Url": {"/verify/control/json"}}},
	{name: "somebody else's word", target: "/verify/search/json?request_id=a", header: http.Header{"X-Forwarded-Host": {"evil.example"}, "Forwarded": {"host=evil.example"}, "Authorization": {"Bearer x"}}},
}

const (
	asForm = "application/x-www-form-urlencoded"
	asJSON = "application/json"
)

func manyHeaders(n int) http.Header {
	h := http.Header{}
	for i := range n {
		h.Set(fmt.Sprintf("X-Header-%d", i), "1")
	}
	return h
}

// TestProtocols makes calls that nobody should over HTTP/1.1, HTTP/2 and HTTP/3, with and without a length: each gets the same
// answer, and what reaches the provider by one reaches it by all.
func TestProtocols(t *testing.T) {
	files, trust := certificate(t)
	api := startWitness(t, 0)
	address := freeAddress(t)
	p := startCaddyfile(t, nil, fmt.Sprintf("{\nadmin off\npersist_config off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel WARN\n}\n}\n"+
		"https://%s {\ntls %s\nroute {\nverify {\nupstream %s\ncredentials %s %s\nlimit off\ncache off\n}\nrespond \"not ours\" 418\n}\n}\n",
		address, files, api.URL, gatewayKey, gatewaySecret), address)
	over := map[string]http.RoundTripper{}
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		transport := &http.Transport{TLSClientConfig: trust.Clone(), Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(version == "HTTP/1.1")
		transport.Protocols.SetHTTP2(version == "HTTP/2.0")
		t.Cleanup(transport.CloseIdleConnections)
		over[version] = transport
	}
	quic := &http3.Transport{TLSClientConfig: trust.Clone()}
	t.Cleanup(func() { quic.Close() })
	over["HTTP/3.0"] = quic

	for _, test := range hostile {
		for _, unsized := range []bool{false, true} {
			if unsized && test.body == "" {
				continue
			}
			t.Run(test.name+map[bool]string{true: ", nobody says how long"}[unsized], func(t *testing.T) {
				want := ""
				for _, version := range []string{"HTTP/1.1", "HTTP/2.0", "HTTP/3.0"} {
					before := api.all()
					r := hostileRequest(t, "https://"+address, test.method, test.target, test.contentType, test.body, unsized)
					maps.Copy(r.Header, test.header)
					response, err := over[version].RoundTrip(r)
					if err != nil {
						t.Errorf("%s: %v", version, err)
						continue
					}
					body, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || response.Proto != version {
						t.Errorf("%s: by %s (%v)", version, response.Proto, err)
					}
					for _, own := range []string{"Date", "Alt-Svc", "Connection", "Content-Length"} {
						response.Header.Del(own)
					}
					got := fmt.Sprintf("%d %v %s, sent %d times", response.StatusCode, response.Header, body, api.all()-before)
					switch want {
					case "":
						want = got
					case got:
					default:
						t.Errorf("%s: got\n%s, over HTTP/1.1\n%s", version, got, want)
					}
				}
			})
		}
	}
	if strings.Contains(p.output.String(), "panic") {
		t.Error("something panicked")
	}
}

func hostileRequest(t *testing.T, base, method, target, contentType, body string, unsized bool) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = bytes.NewReader([]byte(body))
	}
	if unsized {
		reader = io.MultiReader(reader) // which http.NewRequest knows no length of
	}
	path, query, _ := strings.Cut(target, "?")
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	r.URL.RawQuery = query
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}
