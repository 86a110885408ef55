package doctor

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/upstream"
)

// TestAccess tells who is let in to a verify handler, by what stands before it.
func TestAccess(t *testing.T) {
	const (
		verify  = `{"handle":[{"handler":"verify"}]}`
		basic   = `{"handler":"authentication","providers":{"http_basic":{}}}`
		forward = `{"handler":"reverse_proxy","handle_response":[{"match":{"status_code":[2]}}],"upstreams":[{"dial":"auth:9091"}]}`
		ips     = `{"remote_ip":{"ranges":["10.0.0.0/8"]}}`
		refuse  = `"handle":[{"handler":"static_response","status_code":403}]`
		users   = `{"handler":"map","source":"{http.request.header.X}","destinations":["{http.auth.user.id}"]}`
	)
	subroute := func(routes string) string { return `{"handler":"subroute","routes":[` + routes + `]}` }
	for _, test := range []struct {
		name   string
		routes string
		server string // more of the server
		want   string // the guards
		named  bool
		local  bool
	}{
		{name: "nothing", routes: verify},
		{name: "a path alone", routes: `{"match":[{"path":["/verify/*"]}],"handle":[{"handler":"verify"}]}`},
		{name: "an address", routes: `{"match":[` + ips + `],"handle":[{"handler":"verify"}]}`, want: "remote_ip"},
		{name: "any address", routes: `{"match":[{"remote_ip":{"ranges":["0.0.0.0/0"]}}],"handle":[{"handler":"verify"}]}`},
		{name: "an address or none", routes: `{"match":[` + ips + `,{"path":["/verify/*"]}],"handle":[{"handler":"verify"}]}`},
		{name: "all but some addresses", routes: `{"match":[{"not":[` + ips + `]}],"handle":[{"handler":"verify"}]}`},
		{name: "others are refused", routes: `{"match":[{"not":[` + ips + `]}],` + refuse + `},` + verify, want: "remote_ip"},
		{name: "others are refused elsewhere", routes: `{"match":[{"not":[` + ips + `],"path":["/admin/*"]}],` + refuse + `},` + verify},
		{name: "some are refused", routes: `{"match":[` + ips + `],` + refuse + `},` + verify},
		{name: "others are refused afterwards", routes: verify + `,{"match":[{"not":[` + ips + `]}],` + refuse + `}`},
		{name: "others are refused by a handle block", routes: `{"group":"g","match":[{"not":[` + ips + `]}],"handle":[` + subroute(`{`+refuse+`}`) + `]},` + verify, want: "remote_ip"},
		{name: "others are answered", routes: `{"match":[{"not":[` + ips + `]}],"handle":[{"handler":"static_response","status_code":"200"}]},` + verify},
		{name: "others are aborted", routes: `{"match":[{"not":[` + ips + `]}],"handle":[{"handler":"static_response","abort":true}]},` + verify, want: "remote_ip"},
		{name: "others are an error", routes: `{"match":[{"not":[` + ips + `]}],"handle":[{"handler":"error"}]},` + verify, want: "remote_ip"},
		{name: "all but metrics", routes: `{"match":[{"not":[` + ips + `,{"path":["/metrics"]}]}],` + refuse + `},` + verify, want: "remote_ip"},
		{name: "a password", routes: `{"handle":[` + basic + `]},` + verify, want: "basic_auth"},
		{name: "a password in the same route", routes: `{"handle":[` + basic + `,{"handler":"verify"}]}`, want: "basic_auth"},
		{name: "a password for another path", routes: `{"match":[{"path":["/admin/*"]}],"handle":[` + basic + `]},` + verify},
		{name: "a password for the API", routes: `{"match":[{"path":["/verify/*"]}],"handle":[` + basic + `]},` + verify, want: "basic_auth"},
		{name: "a password in another handle block", routes: `{"group":"g","handle":[` + subroute(`{"handle":[`+basic+`]}`) + `]},{"group":"g","handle":[` + subroute(verify) + `]}`},
		{name: "a password in a route block", routes: `{"handle":[` + subroute(`{"handle":[`+basic+`]}`) + `]},` + verify, want: "basic_auth"},
		{name: "a password on another site", routes: `{"match":[{"host":["a.example"]}],"terminal":true,"handle":[` + basic + `]},` + verify},
		{name: "an authentication server", routes: `{"handle":[` + forward + `]},` + verify, want: "forward_auth"},
		{name: "another proxy", routes: `{"match":[{"path":["/x"]}],"handle":[{"handler":"reverse_proxy"}]},` + verify},
		{name: "a named route", routes: `{"handle":[` + basic + `,{"handler":"invoke","name":"v"}]}`, server: `,"named_routes":{"v":` + verify + `}`, want: "basic_auth"},
		{name: "one that invokes itself", routes: `{"handle":[{"handler":"invoke","name":"v"}]},` + verify, server: `,"named_routes":{"v":{"handle":[{"handler":"invoke","name":"v"}]}}`},
		{name: "within another's routes", routes: `{"match":[` + ips + `],"handle":[{"handler":"intercept","handle_response":[{"routes":[` + verify + `]}]}]}`, want: "remote_ip"},
		{name: "a name", routes: `{"match":[{"host":["verify.internal"]}],"handle":[` + subroute(verify) + `]}`, named: true},
		{name: "other names are refused", routes: `{"match":[{"not":[{"host":["verify.internal"]}],"path":["/verify","/verify/*"]}],` + refuse + `},` + verify, named: true},
		{name: "this host alone", routes: verify, server: `,"listen":["127.0.0.1:80","unix//run/verify.sock"]`, local: true},
		{name: "this host and others", routes: verify, server: `,"listen":["127.0.0.1:80",":81"]`},
		{name: "client certificates", routes: verify, server: `,"tls_connection_policies":[{"client_authentication":{"mode":"require_and_verify"}}]`, want: "client certificates"},
		{name: "certificates that nobody must have", routes: verify, server: `,"tls_connection_policies":[{"client_authentication":{"mode":"verify_if_given"}}]`},
		{
			name: "client certificates for the name", routes: `{"match":[{"host":["a.example"]}],"handle":[{"handler":"verify"}]}`, named: true, want: "client certificates",
			server: `,"tls_connection_policies":[{"match":{"sni":["a.example"]},"client_authentication":{"ca":"x"}},{}]`,
		},
		{
			name: "client certificates for another", routes: `{"match":[{"host":["b.example"]}],"handle":[{"handler":"verify"}]}`, named: true,
			server: `,"tls_connection_policies":[{"match":{"sni":["a.example"]},"client_authentication":{"ca":"x"}},{}]`,
		},
		{name: "a user of a header's", routes: `{"handle":[` + users + `]},{"handle":[` + forward + `]},` + verify, want: "forward_auth, user of a header"},
		{name: "a user of a server's", routes: `{"handle":[` + forward + `]},{"handle":[` + users + `]},` + verify, want: "forward_auth"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Read([]byte(`{"apps":{"http":{"servers":{"a":{"listen":[":80"],"routes":[` + test.routes + `]` + test.server + `}}}}}`))
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Sites) != 1 {
				t.Fatalf("%d handlers were found", len(c.Sites))
			}
			s := c.Sites[0]
			guards := s.guards()
			if s.mutual {
				guards = append(guards, "client certificates")
			}
			if s.userFrom != "" {
				guards = append(guards, "user of a header")
			}
			if got := strings.Join(guards, ", "); got != test.want || s.named != test.named || s.local != test.local {
				t.Errorf("let in by %q, named %v, local %v; want %q, %v, %v", got, s.named, s.local, test.want, test.named, test.local)
			}
		})
	}
}

// Of sites with one name a finding tells which it is.
func TestSiteNames(t *testing.T) {
	site := func(listen, host string) string {
		return `{"listen":["` + listen + `"],"routes":[{"match":[{"host":["` + host + `"]}],"handle":[{"handler":"verify"}]}]}`
	}
	c, err := Read([]byte(`{"apps":{"http":{"servers":{"a":` + site(":8443", "verify.internal") + `,"b":` + site(":8080", "verify.internal") + `,"c":` + site(":8081", "localhost") + `}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, site := range c.Sites {
		names = append(names, site.Name)
	}
	if want := []string{"verify.internal at :8443", "verify.internal at :8080", "localhost"}; !slices.Equal(names, want) {
		t.Errorf("the names are %q, want %q", names, want)
	}
}

// What has another shape than a configuration is no reason to fall.
func TestOddConfigurations(t *testing.T) {
	for _, text := range []string{
		`{}`, `{"apps":[]}`, `{"apps":{"http":{"servers":[1]}}}`, `{"apps":{"http":{"servers":{"a":null}}}}`,
		`{"apps":{"http":{"servers":{"a":{"routes":[null,1,{"match":[1],"handle":[null,{"handler":1}]}]}}}}}`,
		`{"logging":{"logs":{"a":7,"b":{"encoder":[]}}},"admin":"x"}`,
	} {
		c, err := Read([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var r Report
		r.CheckLogs(c)
		r.CheckCallers(c)
		r.CheckAdmin(c.Admin("localhost:2019"))
	}
	if _, err := Read([]byte(`[]`)); err == nil {
		t.Error("a list is read as a configuration")
	}
}

// TestLoggers tells of a logger to which no request comes, and others.
func TestLoggers(t *testing.T) {
	good := `"encoder":{"format":"append","wrap":{"format":"filter","fields":{`
	for i, field := range FilteredFields {
		good += strings.Repeat(",", min(i, 1)) + `"` + field + `":{"filter":"verify"}`
	}
	good += `}}}`
	for _, test := range []struct {
		logs string
		want string
	}{
		{``, "warn"},
		{`"default":{` + good + `}`, "ok"},
		{`"default":{` + good + `},"admin":{"include":["admin.api"]}`, "ok"},
		{`"default":{` + good + `},"nothing":{"writer":{"output":"discard"}}`, "ok"},
		{`"default":{` + good + `},"access":{"include":["http.log.access"]}`, "warn"},
		{`"default":{` + good + `,"level":"debug"}`, "warn ok"},
	} {
		c, err := Read([]byte(`{"logging":{"logs":{` + test.logs + `}}}`))
		if err != nil {
			t.Fatal(err)
		}
		var r Report
		r.CheckLogs(c)
		var got []string
		for _, f := range r.Findings() {
			got = append(got, string(f.Level))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %q, want %q", test.logs, got, test.want)
		}
	}
}

// The fields are those of the example.
func TestFilteredFields(t *testing.T) {
	example, err := os.ReadFile("../../../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	snippet, _, _ := bytes.Cut(example, []byte("wrap json"))
	for _, match := range regexp.MustCompile(`(?m)^\s+(\w+) verify$`).FindAllSubmatch(snippet, -1) {
		fields = append(fields, string(match[1]))
	}
	if !slices.Equal(fields, FilteredFields) {
		t.Errorf("Caddyfile.example filters %q, and the doctor asks for %q", fields, FilteredFields)
	}
}

// TestMetrics has a gateway run, or not.
func TestMetrics(t *testing.T) {
	served := `{"apps":{"http":{"servers":{"a":{"listen":["ADDRESS"],"routes":[{"match":[{"host":["gateway.example"],"path":["/m"]}],"handle":[{"handler":"metrics"}]}]}}}}}`
	gone := strings.Replace(served, "ADDRESS", "127.0.0.1:1", 1)
	for _, test := range []struct {
		name, config, admin string
		code                int
		body                string
		want                Level
		text                string
	}{
		{"no Caddy", served, "", 200, "verify_build_info 1\n", Skip, "no Caddy runs"},
		{"another Caddy", served, "go_goroutines 7", 200, "verify_build_info 1\n", Warn, "runs another configuration"},
		{"by the admin endpoint", `{}`, "verify_x 1", 200, "verify_build_info 1\n", OK, "by the admin endpoint"},
		{"by a site", served, "verify_x 1", 200, "verify_build_info 1\n", OK, "/m."},
		{"by a site that hides them", served, "verify_x 1", 403, "", Skip, "answers 403 to this host"},
		{"by a site where another answers", served, "verify_x 1", 200, "hello", Warn, "without metrics of the gateway"},
		{"by a site that is not there", gone, "verify_x 1", 200, "verify_build_info 1\n", Warn, "does not answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host != "gateway.example" || r.URL.Path != "/m" {
					t.Errorf("%s%s is asked for", r.Host, r.URL.Path)
				}
				w.WriteHeader(test.code)
				_, _ = w.Write([]byte(test.body))
			}))
			defer site.Close()
			c, err := Read([]byte(strings.Replace(test.config, "ADDRESS", site.Listener.Addr().String(), 1)))
			if err != nil {
				t.Fatal(err)
			}
			var r Report
			r.CheckMetrics(t.Context(), c, c.Admin("localhost:2019"), func(string) (string, error) {
				if test.admin == "" {
					return "", http.ErrServerClosed
				}
				return test.admin, nil
			})
			if got := r.Findings(); len(got) != 1 || got[0].Level != test.want || !strings.Contains(got[0].Text, test.text) {
				t.Errorf("it found %+v", got)
			}
		})
	}
}

// A report shows neither secrets nor what a terminal obeys.
func TestReport(t *testing.T) {
	const secret = "S3cret-of-the-gateway"
	var r Report
	r.Hide(upstream.NewSecret(secret))
	r.Hide(upstream.Secret{})
	r.Add(
		Finding{OK, "limit", "", "28/s.", ""},
		Finding{Warn, "log filter", "logger a", "it\x1b[2J has\nnone.", "`log`."},
		Finding{Fail, "provider", "shop", "calls itself " + secret, "`upstream`."},
		Finding{Fail, "provider", "shop", strings.Repeat("é", 2000), ""},
		Finding{Skip, "metrics", "", "not looked at.", ""},
	)
	var lines, document bytes.Buffer
	if err := r.WriteText(&lines); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"ok    limit                   28/s.\n" +
		"warn  log filter of logger a  it?[2J has none. Change: `log`.\n" +
		"FAIL  provider of shop        (not shown: it holds the secret) Change: `upstream`.\n" +
		"FAIL  provider of shop        " + strings.Repeat("é", maxShown/2) + "…\n" +
		"skip  metrics                 not looked at.\n" +
		"4 checks: 1 ok, 1 warning, 2 failures; 1 skipped\n"
	if lines.String() != want {
		t.Errorf("it says\n%swant\n%s", &lines, want)
	}
	if err := r.WriteJSON(&document); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Findings                                []Finding
		Checks, OK, Warnings, Failures, Skipped int
	}
	if err := json.Unmarshal(document.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Findings, r.Findings()) || read.Checks != 4 || read.OK != 1 || read.Warnings != 1 || read.Failures != 2 || read.Skipped != 1 {
		t.Errorf("machines read %s", &document)
	}
	if strings.Contains(lines.String()+document.String(), secret) {
		t.Error("the secret is shown")
	}
	if !r.Failed() {
		t.Error("nothing fails")
	}
}

func TestDuration(t *testing.T) {
	for value, want := range map[any]time.Duration{float64(30e9): 30 * time.Second, "30s": 30 * time.Second, "x": 0, true: 0} {
		if got := duration(value); got != want {
			t.Errorf("%v is read as %v", value, got)
		}
	}
}
