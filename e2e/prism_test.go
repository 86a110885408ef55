//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// document is a version of the provider's own OpenAPI document. Prism makes servers of it, so they share no reading of
// the API with the gateway or the sandbox.
type document struct {
	version string
	id      string // of its examples
	repairs []repair
	basic   []repair // that have the credentials in HTTP Basic, where the documents of today have them
}

// repair is for what is wrong in a document. Each old text has to be there.
type repair struct{ old, new string }

var version100 = document{
	version: "1.0.0",
	id:      "aaaaaaaabbbbccccdddd0123456789ab",
	repairs: []repair{
		// The request_id of the examples is longer than a request_id may be.
		{"aaaaaaaa-bbbb-cccc-dddd-0123456789ab", "aaaaaaaabbbbccccdddd0123456789ab"},
	},
	basic: []repair{
		{"  - apiKey: []\n    apiSecret: []\n", "  - basic: []\n"},
		{"  securitySchemes:\n", "  securitySchemes:\n    basic: {type: http, scheme: basic}\n"},
	},
}

var version117 = document{
	version: "1.1.7",
	id:      "abcdef0123456789abcdef0123456789",
	repairs: []repair{
		// Whatever is a success is an error, too, as far as their schemas tell.
		{"oneOf:", "anyOf:"},
		// "Required if `request_ids` not provided."
		{"request_id\n          required: true\n          in: query", "request_id\n          required: false\n          in: query"},
	},
	basic: []repair{
		{"        - api_key\n        - api_secret\n", ""},
		{"        - $ref: \"#/components/parameters/api_key\"\n        - $ref: \"#/components/parameters/api_secret\"\n", ""},
		{"\ncomponents:\n", "\nsecurity:\n  - basic: []\ncomponents:\n  securitySchemes:\n    basic: {type: http, scheme: basic}\n"},
	},
}

// xmlAnswers are examples in the order of a document's paths. Prism neither writes nor reads XML: of an answer it judges
// the media type.
func (d document) xmlAnswers() []string {
	return []string{
		"<verify_response><request_id>" + d.id + "</request_id><status>0</status></verify_response>",
		"<verify_response><request_id>" + d.id + "</request_id><event_id>0A00000012345678</event_id><status>0</status><price>0.10000000</price><currency>EUR</currency></verify_response>",
		"<verify_request><request_id>" + d.id + "</request_id><account_id>abcdef01</account_id><status>IN PROGRESS</status></verify_request>",
		"<response><status>0</status><command>cancel</command></response>",
	}
}

// write puts a file with the repaired document into a folder of the test's own.
func (d document) write(t *testing.T, more ...repair) (path string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("prism", "verify-"+d.version+".yml"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for _, r := range append(slices.Clone(d.repairs), more...) {
		if !strings.Contains(text, r.old) {
			t.Fatalf("version %s has no %q to repair", d.version, r.old)
		}
		text = strings.ReplaceAll(text, r.old, r.new)
	}
	answers := d.xmlAnswers()
	if n := len(xmlMedia.FindAllString(text, -1)); n != len(answers) {
		t.Fatalf("version %s answers with text/xml %d times", d.version, n)
	}
	text = xmlMedia.ReplaceAllStringFunc(text, func(string) string {
		answer := answers[0]
		answers = answers[1:]
		return "            text/xml:\n              schema: {type: string}\n              example: '" + answer + "'\n"
	})
	path = filepath.Join(t.TempDir(), "verify.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var xmlMedia = regexp.MustCompile(` {12}text/xml:\n {14}schema:\n( {16}.*\n)+`)

// startPrism runs Prism and returns what to call it under.
func startPrism(t *testing.T, command string, args ...string) (url string) {
	t.Helper()
	const program = "prism/node_modules/@stoplight/prism-cli/dist/index.js"
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("Prism is not installed; run: npm ci --prefix e2e/prism (%v)", err)
	}
	address := freeAddress(t)
	host, port, _ := strings.Cut(address, ":")
	p := startPart(t, exec.Command("node", append([]string{program, command, "--host", host, "--port", port}, args...)...))
	p.ready(t, "http://"+address)
	return "http://" + address
}

// mount puts a server of a document where the document has it: under /verify. It keeps what went to and fro.
type mount struct {
	URL string

	mu     sync.Mutex
	passed []passed
}

// passed is a call and what became of it.
type passed struct {
	call, violations string
	code             int
}

func startMount(t *testing.T, server string) *mount {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	m := new(mount)
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.passed = append(m.passed, passed{r.Request.Method + " " + r.Request.URL.Path, r.Header.Get("Sl-Violations"), r.StatusCode})
			return nil
		},
	}
	s := httptest.NewServer(http.StripPrefix("/verify", proxy))
	t.Cleanup(s.Close)
	m.URL = s.URL
	return m
}

// take returns what went to and fro since the last time.
func (m *mount) take() []passed {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.passed
	m.passed = nil
	return all
}

// fourCalls are those of the API.
func fourCalls(id, format string) []heldCall {
	return []heldCall{
		{"/verify/" + format, "number=447700900000&brand=Acme&country=GB&sender_id=Acme&code_length=4&lg=en-gb&pin_expiry=300&next_event_wait=150"},
		{"/verify/check/" + format, "request_id=" + id + "&code=1234&ip_address=192.0.2.1"},
		{"/verify/search/" + format, "request_id=" + id},
		{"/verify/control/" + format, "request_id=" + id + "&cmd=cancel"},
	}
}

// TestDocumentsAsUpstream makes every call of the API at a server made of a document alone.
func TestDocumentsAsUpstream(t *testing.T) {
	for _, test := range []struct {
		name     string
		document document
		more     []repair
		options  map[string]int // how many of the 8 calls are answered
	}{
		{"1.0.0", version100, nil, map[string]int{"auth query": 8, "auth body": 8}},
		{"1.0.0 with Basic", version100, version100.basic, map[string]int{"auth basic": 8, "method get": 8}},
		// Its credentials are in the form, and all but the searches are by POST alone.
		{"1.1.7", version117, nil, map[string]int{"auth body": 8, "auth query": 2}},
		{"1.1.7 with Basic", version117, version117.basic, map[string]int{"auth basic": 8}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := startMount(t, startPrism(t, "mock", test.document.write(t, test.more...)))
			for options, want := range test.options {
				gateway := startGatewayTo(t, server.URL, options)
				answered := 0
				for _, format := range []string{"json", "xml"} {
					for _, call := range fourCalls(test.document.id, format) {
						got := postForm(t, "http://"+gateway+call.path, call.form)
						if status := anyStatus(got); status == "0" || status == "IN PROGRESS" || status == "SUCCESS" {
							answered++
						} else if want == 8 {
							t.Errorf("%s: %s: got %s", options, call.path, got)
						}
					}
				}
				t.Logf("%s: %d of 8 calls are answered", options, answered)
				for _, p := range server.take() {
					if p.violations != "" {
						t.Errorf("%s: %s: %s", options, p.call, p.violations)
					}
				}
				if answered != want {
					t.Errorf("%s: %d of 8 calls are answered, want %d", options, answered, want)
				}
			}
		})
	}
}

// TestDocumentsAsJudge puts Prism between the gateway and the sandbox, where it refuses every request and every answer
// that is not as the document says.
func TestDocumentsAsJudge(t *testing.T) {
	const code = "1234"
	api := freeAddress(t)
	startCaddyfile(t, nil, caddyfile(api, `verify_sandbox {
			credentials `+gatewayKey+` `+gatewaySecret+`
			code `+code+`
			speed 15
		}`), api)
	number, noPSD2 := 447700900430, []string{"--no-psd2"}
	for _, test := range []struct {
		name     string
		document document
		more     []repair
		options  map[string]int // how many of the SDKs
		without  []string       // what the document does not have
	}{
		{"1.0.0", version100, nil, map[string]int{"auth query": len(sdks), "auth body": 1}, noPSD2},
		{"1.0.0 with Basic", version100, version100.basic, map[string]int{"method get": 1}, noPSD2},
		{"1.1.7", version117, nil, map[string]int{"auth body": len(sdks)}, nil},
		{"1.1.7 with Basic", version117, version117.basic, map[string]int{"auth basic": 1}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			judge := startMount(t, startPrism(t, "proxy", test.document.write(t, test.more...), "http://"+api+"/verify", "--errors"))
			for options, n := range test.options {
				gateway := startGatewayTo(t, judge.URL, options)
				for _, sdk := range sdks[:n] {
					runSDK(t, sdk.name, number, gateway, code, 8*time.Second, test.without...)
					number += 2
				}
				callXML(t, "http://"+gateway, number, code)
				number++
			}
			all := judge.take()
			for _, p := range all {
				// By this the gateway learns that there is no POST.
				learning := p.code == http.StatusMethodNotAllowed && strings.HasPrefix(p.call, http.MethodPost) && test.document.version == "1.0.0"
				if p.code != http.StatusOK && !learning || p.violations != "" {
					t.Errorf("%s: HTTP %d, %s", p.call, p.code, p.violations)
				}
			}
			if len(all) < 10 {
				t.Errorf("only %d calls went by the judge", len(all))
			}

			// It does judge.
			for options := range test.options {
				gateway := startGatewayTo(t, judge.URL, options)
				postForm(t, "http://"+gateway+"/verify/json", fmt.Sprintf("number=%d&brand=%s", number, strings.Repeat("x", 19)))
				if last := judge.take(); len(last) == 0 || last[len(last)-1].code != http.StatusUnprocessableEntity {
					t.Errorf("of a brand that is too long it says %v", last)
				}
			}
		})
	}
}

// callXML takes a verification through the API in XML, with a search for a list.
func callXML(t *testing.T, gateway string, number int, code string) {
	t.Helper()
	call := func(path, form, want string) string {
		t.Helper()
		got := postForm(t, gateway+path, form)
		if status := anyStatus(got); status != want {
			t.Errorf("%s: got %s", path, got)
		}
		return got
	}
	started := call("/verify/xml", fmt.Sprintf("number=%d&brand=Acme", number), "0")
	id := regexp.MustCompile(`<request_id>(\w+)</request_id>`).FindStringSubmatch(started)
	if id == nil {
		t.Fatalf("got %s", started)
	}
	call("/verify/search/xml", "request_id="+id[1], "IN PROGRESS")
	call("/verify/search/json", "request_ids="+id[1]+"&request_ids=00000000000000000000000000000000", "IN PROGRESS")
	call("/verify/check/xml", "request_id="+id[1]+"&code=9"+code[1:], "16")
	call("/verify/control/xml", "request_id="+id[1]+"&cmd=trigger_next_event", "0")
	call("/verify/check/xml", "request_id="+id[1]+"&code="+code, "0")
	call("/verify/search/xml", "request_id="+id[1], "SUCCESS")
}

// startGatewayTo returns the address of a gateway to an upstream.
func startGatewayTo(t *testing.T, upstream, options string) string {
	t.Helper()
	gateway := freeAddress(t)
	startCaddyfile(t, nil, caddyfile(gateway, "verify {\nupstream "+upstream+"\ncredentials "+gatewayKey+" "+gatewaySecret+"\n"+options+"\n}"), gateway)
	return gateway
}

func postForm(t *testing.T, url, form string) (body string) {
	t.Helper()
	response, err := http.Post(url, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// anyStatus reads the status in either format, of a list that of its first verification.
func anyStatus(body string) string {
	match := statusOf.FindStringSubmatch(checksOf.ReplaceAllString(body, ""))
	if match == nil {
		return ""
	}
	return match[1] + match[2]
}

var (
	checksOf = regexp.MustCompile(`(?s)"checks" *: *\[.*?\]|<checks>.*?</checks>`) // they have each a status of their own
	statusOf = regexp.MustCompile(`"status" *: *"([^"]*)"|<status>([^<]*)</status>`)
)
