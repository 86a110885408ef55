package main

import (
	"encoding/base64"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	accountKey    = "abcdef01"
	accountSecret = "secret-of-the-account"
)

// accountBasic is how the upstream wants to see them.
var accountBasic = "Basic " + base64.StdEncoding.EncodeToString([]byte(accountKey+":"+accountSecret))

// upstream is a Verify API that answers at once and counts what it is asked.
type upstream struct {
	url      string
	server   *http.Server
	searches atomic.Int64 // verifications that were searched for, however many at once
	refused  atomic.Int64 // calls without the account's credential, or which it cannot read

	mu     sync.Mutex
	passed map[int]*passed // by the number of the run
}

// passed are the requests or checks of one run.
type passed struct {
	calls int // each counts once
	twice int // how many came again
	seen  []bool
}

func newUpstream() (*upstream, error) {
	u := &upstream{passed: map[int]*passed{}}
	var err error
	u.url, u.server, err = serve(u)
	return u, err
}

// serve answers on loopback until the server is closed.
func serve(h http.Handler) (url string, server *http.Server, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server = &http.Server{Handler: h}
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), server, nil
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := ""
	if r.Header.Get("Authorization") == accountBasic && r.ParseForm() == nil {
		switch r.URL.Path {
		case "/verify/search/json":
			u.searches.Add(int64(len(r.Form["request_id"]) + len(r.Form["request_ids"])))
			body = search(r.Form["request_id"], r.Form["request_ids"])
		case "/verify/json":
			if tag, ok := u.note(r.Form.Get("brand")); ok {
				body = started(tag)
			}
		case "/verify/check/json":
			if tag, ok := u.note(r.Form.Get("request_id")); ok {
				body = checked(tag)
			}
		}
	}
	if body == "" {
		u.refused.Add(1)
		http.Error(w, "no call of this account", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write([]byte(body)) // who does not read it any more counts as passed
}

// search is the answer to one request_id, or to some request_ids.
func search(id, ids []string) string {
	switch {
	case len(id) == 1 && len(ids) == 0:
		return state(id[0])
	case len(id) == 0 && len(ids) > 0:
		states := make([]string, len(ids))
		for i, id := range ids {
			states[i] = state(id)
		}
		return `{"verification_requests":[` + strings.Join(states, ",") + "]}\n" // as the gateway ends those that it puts together
	}
	return ""
}

// state is a verification that ended well after one wrong code.
func state(id string) string {
	return `{"request_id":"` + id + `","account_id":"` + accountKey + `","number":"447700900000","sender_id":"verify",` +
		`"date_submitted":"2024-04-03 02:22:37","date_finalized":"2024-04-03 02:23:30","checks":[` +
		`{"date_received":"2024-04-03 02:23:30","code":"5700","status":"VALID","ip_address":""}],` +
		`"first_event_date":"2024-04-03 02:22:37","last_event_date":"2024-04-03 02:22:37","price":"0.05000000","currency":"EUR",` +
		`"status":"SUCCESS","estimated_price_messages_sent":"0.04675","events":[{"id":"23f3a13d-6d03-4262-8f4d-67f12a56e1c8","type":"sms"}]}`
}

// idPrefix is the beginning of a request_id whose end is a tag.
const idPrefix = "cc121958d8fb4368aa3b"

// started is the answer to a request, checked that to a check.
func started(tag string) string {
	return `{"request_id":"` + idPrefix + tag + `","status":"0"}`
}

func checked(tag string) string {
	return `{"request_id":"` + idPrefix + tag + `","event_id":"0A00000012345678","status":"0","price":"0.10000000","currency":"EUR"}`
}

const (
	runDigits, serialDigits = 4, 8 // of the tag that ends a brand or request_id, see wrk.lua
	tagDigits               = runDigits + serialDigits
)

// note counts a call by its tag.
func (u *upstream) note(value string) (tag string, ok bool) {
	if len(value) < tagDigits {
		return "", false
	}
	tag = value[len(value)-tagDigits:]
	run, err := strconv.Atoi(tag[:runDigits])
	if err != nil {
		return "", false
	}
	serial, err := strconv.Atoi(tag[runDigits:])
	if err != nil || serial < 0 {
		return "", false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	p := u.passed[run]
	if p == nil {
		p = new(passed)
		u.passed[run] = p
	}
	for len(p.seen) <= serial {
		p.seen = append(p.seen, false)
	}
	if p.seen[serial] {
		p.twice++
	} else {
		p.calls++
	}
	p.seen[serial] = true
	return tag, true
}

// of tells what came of a run.
func (u *upstream) of(run int) (calls, twice int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if p := u.passed[run]; p != nil {
		return p.calls, p.twice
	}
	return 0, 0
}
