package caddyverify

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// liveSite serves the live page behind some handlers, and says 418 to all else.
func liveSite(t *testing.T, before string) http.Handler {
	t.Helper()
	adapted, err := adaptCaddyfile("http://:8080 {\nroute {\n" + before + "\nverify_live\nrespond 418\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Apps struct {
			HTTP struct {
				Servers map[string]struct{ Routes caddyhttp.RouteList }
			}
		}
	}
	if err := json.Unmarshal(adapted, &config); err != nil {
		t.Fatal(err)
	}
	return serveRoutes(t, config.Apps.HTTP.Servers["srv0"].Routes)[0].Config.Handler
}

// TestLiveLetsIn has readers come from near and far, known and not.
func TestLiveLetsIn(t *testing.T) {
	const operator, hash = "operator", "$2a$04$ZHntuuAG/FRL4nkPrq8NLuT8bObaChtYM6GjfwG8SVbHyVU1gD2Y6" // of "password"
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Badge") == "" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(guard.Close)
	nothing, passwords := liveSite(t, ""), liveSite(t, "basic_auth {\n"+operator+" "+hash+"\n}")
	guarded := liveSite(t, "forward_auth "+strings.TrimPrefix(guard.URL, "http://")+" {\nuri /\n}")
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	certificate := func(verified bool) func(*http.Request) {
		return func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
			if verified {
				r.TLS.VerifiedChains = [][]*x509.Certificate{{{}}}
			}
		}
	}
	for _, test := range []struct {
		name       string
		site       http.Handler
		from, host string
		more       func(*http.Request)
		code       int
	}{
		{"the machine itself", nothing, "127.0.0.1:4711", "localhost:8080", nil, 200},
		{"by its address", nothing, "127.0.0.1:4711", "127.0.0.1:8080", nil, 200},
		{"by IPv6", nothing, "[::1]:4711", "[::1]:8080", nil, 200},
		{"by IPv4 in IPv6", nothing, "[::ffff:127.0.0.1]:4711", "LOCALHOST", nil, 200},
		{"under a name that leads here", nothing, "127.0.0.1:4711", "evil.example:8080", nil, 403},
		{"under no name", nothing, "127.0.0.1:4711", "", nil, 403},
		{"through a proxy on the machine", nothing, "127.0.0.1:4711", "localhost:8080", with("X-Forwarded-For", "203.0.113.7"), 403},
		{"through one that says it otherwise", nothing, "127.0.0.1:4711", "localhost:8080", with("Forwarded", "for=203.0.113.7"), 403},
		{"through one that names itself", nothing, "127.0.0.1:4711", "localhost:8080", with("Via", "1.1 proxy"), 403},
		{"from another machine", nothing, "10.1.2.3:4711", "localhost:8080", nil, 403},
		{"pretending to be near", nothing, "10.1.2.3:4711", "localhost:8080", with("X-Forwarded-For", "127.0.0.1"), 403},
		{"with a password that nobody looks at", nothing, "10.1.2.3:4711", "gateway", with("Authorization", "Basic b3BlcmF0b3I6cGFzc3dvcmQ="), 403},
		{"with a password", passwords, "10.1.2.3:4711", "gateway", with("Authorization", "Basic b3BlcmF0b3I6cGFzc3dvcmQ="), 200},
		{"with a wrong password", passwords, "10.1.2.3:4711", "gateway", with("Authorization", "Basic b3BlcmF0b3I6d3Jvbmc="), 401},
		{"near and without the password", passwords, "127.0.0.1:4711", "localhost:8080", nil, 401},
		{"with a certificate", nothing, "10.1.2.3:4711", "gateway", certificate(true), 200},
		{"with a certificate that nobody has verified", nothing, "10.1.2.3:4711", "gateway", certificate(false), 403},
		{"let in by another service", guarded, "10.1.2.3:4711", "gateway", with("X-Badge", "1"), 200},
		{"kept out by another service", guarded, "10.1.2.3:4711", "gateway", nil, 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/live", "/live/stream"} {
				if path == "/live/stream" && test.code == 200 {
					continue // has no end; the page is let in at the same place
				}
				r := httptest.NewRequest(http.MethodGet, "http://gateway"+path, nil)
				r.RemoteAddr, r.Host = test.from, test.host
				if test.more != nil {
					test.more(r)
				}
				w := httptest.NewRecorder()
				test.site.ServeHTTP(w, r)
				if w.Code != test.code {
					t.Errorf("%s is %d: %.200s", path, w.Code, w.Body)
				}
				if test.code == 403 && (!strings.Contains(w.Body.String(), "put basic_auth, forward_auth or TLS client certificates before verify_live") || w.Header().Get("Cache-Control") != "no-store") {
					t.Errorf("%s does not say how to be let in: %s", path, w.Body)
				}
			}
		})
	}
}

// TestLiveAnswersOnly leaves all other paths to what comes next.
func TestLiveAnswersOnly(t *testing.T) {
	site := liveSite(t, "")
	for path, code := range map[string]int{"/live": 200, "/live/": 418, "/live/stream/": 418, "/lively": 418, "/": 418, "/verify/json": 418} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		r.RemoteAddr = "127.0.0.1:4711"
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		if w.Code != code {
			t.Errorf("%s is %d", path, w.Code)
		}
	}
	for _, input := range []string{"verify_live {\nopen\n}", "verify_live /live extra"} {
		if _, err := adaptCaddyfile(":8080 {\n" + input + "\n}"); err == nil {
			t.Errorf("%q is taken", input)
		}
	}
}

// TestLiveOverReloads has a stream end with its configuration, so that its reader comes back to the next one.
func TestLiveOverReloads(t *testing.T) {
	ownStorage(t)
	u, address := newUpstream(t), freeAddress(t)
	load := func(more string) {
		t.Helper()
		config, err := adaptCaddyfile("{\nadmin off\npersist_config off\n}\nhttp://" + address + " {\nverify_live\nverify {\nupstream " + u.URL +
			"\ncredentials " + testKey + " " + testSecret + "\n" + more + "\n}\n}\n")
		if err != nil {
			t.Fatal(err)
		}
		if err := loadConfig(config); err != nil {
			t.Fatal(err)
		}
	}
	load("")
	response, err := http.Get("http://" + address + "/live/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for line := ""; line != "event: more\n"; {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	load("settle")
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Error(err)
	}
}
