package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestFaults is the whole run in small.
func TestFaults(t *testing.T) {
	for _, method := range []string{"auto", "get"} {
		t.Run(method, func(t *testing.T) {
			o := options{calls: 600, clients: 16, resets: 5, others: 6, outages: 1, seed: 1, method: method}
			r, err := play(t.Context(), o, o.startGateway)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			r.print(&out)
			t.Logf("\n%s", &out)
			if n := len(r.violations); n > 0 {
				t.Errorf("%d violations", n)
			}
			if r.openings["read"]+r.openings["write"] == 0 {
				t.Error("no breaker opened in an outage")
			}
		})
	}
}

// TestRecover: the clients' last attempts to learn a request_id are calls as all others.
func TestRecover(t *testing.T) {
	u, err := newUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	o := options{method: "auto"}
	g, err := o.startGateway(u.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.stop() }()
	a := newAudit(g.url, []http.RoundTripper{http.DefaultTransport}, 1)
	form := url.Values{"number": {"447700900000"}, "brand": {"Acme"}, "sender_id": {"m0"}}
	a.make(t.Context(), call{"request", "json", "form", form, ""}, 0)
	if found, lost := a.recover(t.Context(), u); found != 1 || lost != 0 {
		t.Errorf("%d were found and %d lost", found, lost)
	}
	if a.doubles(u); len(a.violations) > 0 {
		t.Error(a.violations)
	}
}

// TestNaive shows that the audit would see it: a proxy that passes calls on as GET,
// which Go's client sends again, delivers some of them twice.
func TestNaive(t *testing.T) {
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	naive := func(upstream string) (*gateway, error) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			form, _ := url.ParseQuery(r.URL.RawQuery + "&" + string(body))
			if r.Header.Get("Content-Type") == "application/json" {
				form = url.Values{}
				var members map[string]any
				_ = json.Unmarshal(body, &members)
				for name, value := range members {
					list, ok := value.([]any)
					if !ok {
						list = []any{value}
					}
					for _, v := range list {
						form.Add(name, v.(string))
					}
				}
			}
			call, _ := http.NewRequestWithContext(r.Context(), http.MethodGet, upstream+r.URL.Path+"?"+form.Encode(), nil)
			call.SetBasicAuth(accountKey, accountSecret)
			response, err := transport.RoundTrip(call)
			if err != nil {
				w.Header().Set("Proxy-Status", `naive; details="lost"`)
				io.WriteString(w, `{"status":"5","error_text":"the call may have been sent"}`)
				return
			}
			defer response.Body.Close()
			io.Copy(w, response.Body)
		}))
		t.Cleanup(server.Close)
		return &gateway{url: server.URL, folder: t.TempDir()}, nil
	}
	r, err := play(t.Context(), options{calls: 600, clients: 8, resets: 20, seed: 1}, naive)
	if err != nil {
		t.Fatal(err)
	}
	if r.count("double:") == 0 {
		t.Error("no double delivery was found")
	}
}

// TestNetwork wants each fault to do what its name says, to a client that does
// nothing by itself.
func TestNetwork(t *testing.T) {
	tests := []struct {
		fault          fault
		handled, reads string // yes, no or either
	}{
		{none, "yes", "yes"},
		{resetBefore, "no", "no"},
		{resetRequest, "no", "no"},
		{resetUnread, "yes", "no"},
		{resetAfter, "yes", "no"},
		{resetAnswer, "yes", "no"},
		{latency, "yes", "yes"},
		{drip, "yes", "yes"},
		{bandwidth, "yes", "yes"},
		{halfClose, "yes", "either"},
		{hangUp, "yes", "yes"},
		{lowCode, "yes", "yes"},
		{waf400, "no", "yes"},
		{waf403, "no", "yes"},
		{timeout, "either", "no"},
	}
	if len(tests) != int(faults) {
		t.Fatalf("%d faults are tested, of %d", len(tests), faults)
	}
	for _, test := range tests {
		t.Run(test.fault.String(), func(t *testing.T) {
			u, err := newUpstream()
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			n, err := newNetwork(u.Listener.Addr().String(), func() fault { return test.fault })
			if err != nil {
				t.Fatal(err)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			if test.fault == timeout {
				client.Timeout = time.Second // the others end by themselves
			}
			form := "number=447700900000&brand=Acme&api_key=" + accountKey + "&api_secret=" + accountSecret
			response, err := client.Post("http://"+n.address+"/verify/json", "application/x-www-form-urlencoded", strings.NewReader(form))
			if err == nil {
				_, err = io.ReadAll(response.Body)
				err = errors.Join(err, response.Body.Close())
			}
			n.close()
			u.Close() // waits for what it handles
			is := map[bool]string{true: "yes", false: "no"}
			if got := is[u.api.Accepted() == 1]; test.handled != "either" && got != test.handled {
				t.Errorf("handled: %s, want %s", got, test.handled)
			}
			if got := is[err == nil]; test.reads != "either" && got != test.reads {
				t.Errorf("answered: %s, want %s (%v)", got, test.reads, err)
			}
		})
	}
}

func TestDraw(t *testing.T) {
	const n = 100_000
	r := rand.New(rand.NewPCG(1, 0))
	var drawn [faults]int
	for range n {
		drawn[draw(r, 5, 6)]++
	}
	share := func(from, to fault) (percent float64) {
		for f := from; f <= to; f++ {
			percent += 100 * float64(drawn[f]) / n
		}
		return percent
	}
	for _, test := range []struct {
		name     string
		from, to fault
		want     float64
	}{
		{"resets before", resetBefore, resetRequest, 2.5},
		{"resets after", resetUnread, resetAnswer, 2.5},
		{"others", latency, timeout, 6},
	} {
		if got := share(test.from, test.to); got < test.want-0.3 || got > test.want+0.3 {
			t.Errorf("%s: %.2f %%, want about %v", test.name, got, test.want)
		}
	}
	for f, count := range drawn {
		if count == 0 {
			t.Errorf("%v was never drawn", fault(f))
		}
	}
}

func TestRead(t *testing.T) {
	for _, test := range []struct {
		format, body, id, status string
		found                    int
	}{
		{"json", `{"request_id":"a","status":"0"}`, "a", "0", 1},
		{"xml", `<?xml version="1.0"?><verify_response><request_id>a</request_id><status>10</status></verify_response>`, "a", "10", 1},
		{"xml", `<verify_request><request_id>a</request_id><checks><check><status>INVALID</status></check></checks><status>FAILED</status></verify_request>`, "a", "FAILED", 1},
		{"json", `{"verification_requests":[{"request_id":"a","status":"SUCCESS"},{"request_id":"b","status":"FAILED"}]}`, "", "", 2},
		{"xml", `<verification_requests><verify_request><request_id>a</request_id><status>SUCCESS</status></verify_request></verification_requests>`, "", "", 1},
		{"json", `{"request_id":"a","status":"0"`, "", "", 0},
	} {
		if got := read(test.format, []byte(test.body)); got.RequestID != test.id || got.Status != test.status || len(got.found) != test.found {
			t.Errorf("%s: got %+v", test.body, got)
		}
	}
}
