package main

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	accountKey    = "abcdef01"
	accountSecret = "secret-of-the-account"
	rightCode     = "424242"
)

// upstream is a sandbox that notes each time it did some work, and for whom.
type upstream struct {
	*httptest.Server
	api *sandbox.Sandbox

	mu sync.Mutex
	// deliveries counts the work done by mark: see markOf.
	deliveries map[string]int
	// started holds the verifications of each number, in their order.
	started map[string][]string
	// handled counts the calls by operation.
	handled map[string]int
}

func newUpstream() (*upstream, error) {
	api, err := sandbox.New(sandbox.Config{APIKey: accountKey, APISecret: accountSecret, Code: rightCode, Limit: -1, Record: -1})
	if err != nil {
		return nil, err
	}
	u := &upstream{api: api, deliveries: map[string]int{}, started: map[string][]string{}, handled: map[string]int{}}
	u.Server = httptest.NewServer(u)
	return u, nil
}

// ServeHTTP has the sandbox do the work of a call that has come in whole.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // half a call is none
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(r.URL.RawQuery + "&" + string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	operation := operationOf(r.URL.Path)
	recorder := httptest.NewRecorder()
	u.mu.Lock()
	before := u.api.Accepted()
	u.api.ServeHTTP(recorder, r)
	u.handled[operation]++
	if mark := markOf(operation, form); mark != "" {
		u.deliveries[mark]++
	}
	if u.api.Accepted() > before {
		id := read(formatOf(r.URL.Path), recorder.Body.Bytes()).RequestID
		number := digits(form.Get("number"))
		u.started[number] = append(u.started[number], id)
	}
	u.mu.Unlock()
	maps.Copy(w.Header(), recorder.Header())
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
}

// markOf is what tells a call of a client from all others, in the parameters that
// reach the API: each has a sender_id, ip_address or spelling of its own, and a control is
// known by its verification and command. Searches have none.
func markOf(operation string, form url.Values) string {
	switch operation {
	case "request":
		return "request " + form.Get("sender_id")
	case "psd2":
		return "psd2 " + form.Get("number")
	case "check":
		return "check " + form.Get("ip_address")
	case "control":
		return "control " + form.Get("request_id") + " " + form.Get("cmd")
	}
	return ""
}
