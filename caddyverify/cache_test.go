package caddyverify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// begin starts a verification past the cache and returns its request_id.
func (u *testUpstream) begin(t *testing.T, number string) string {
	t.Helper()
	r := request(t, http.MethodGet, u.URL+"/verify/json?brand=Acme&number="+number, "", "")
	r.SetBasicAuth(testKey, testSecret)
	id := do(t, r).field("request_id")
	if id == "" {
		t.Fatal("the sandbox started no verification")
	}
	return id
}

// searches counts those that went upstream.
func (u *testUpstream) searches() (n int) {
	for _, call := range u.Calls() {
		if call.Operation == "search" {
			n++
		}
	}
	return n
}

func expectHeaders(t *testing.T, got reply, cacheStatus string, age bool) {
	t.Helper()
	if status := got.Header.Get("Cache-Status"); status != cacheStatus {
		t.Errorf("Cache-Status is %q, want %q", status, cacheStatus)
	}
	if _, ok := got.Header["Age"]; ok != age {
		t.Errorf("Age is %q", got.Header["Age"])
	}
	if control := got.Header.Get("Cache-Control"); control != "private, no-store" {
		t.Errorf("Cache-Control is %q", control)
	}
}

func TestSearchFromMemory(t *testing.T) {
	for _, format := range wire.Formats {
		t.Run(format.String(), func(t *testing.T) {
			u := newUpstream(t)
			gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{InProgress: Lifetime(time.Hour)}}})
			id := u.begin(t, testNumber)
			path := gateway.URL + wire.Path(wire.Search, format)
			first := get(t, path+"?request_id="+id)
			expectHeaders(t, first, "caddy-verify; fwd=miss; stored", false)
			for name, r := range map[string]*http.Request{
				"again":             request(t, http.MethodGet, path+"?request_id="+id, "", ""),
				"dummy credentials": request(t, http.MethodGet, path+"?api_secret=x&request_id="+id+"&api_key=y", "", ""),
				"a form":            request(t, http.MethodPost, path, "application/x-www-form-urlencoded", "request_id="+id),
				"JSON":              request(t, http.MethodPost, path, "application/json", `{"request_id":"`+id+`"}`),
			} {
				got := do(t, r)
				if got.body != first.body || got.Header.Get("Content-Type") != first.Header.Get("Content-Type") {
					t.Errorf("%s: got %q, want %q", name, got.body, first.body)
				}
				if status := got.Header.Get("Cache-Status"); !strings.HasPrefix(status, "caddy-verify; hit; ttl=3") {
					t.Errorf("%s: Cache-Status is %q", name, status)
				}
			}
			if n := u.searches(); n != 1 {
				t.Errorf("%d searches went upstream", n)
			}

			// The other format, and the verification as part of a list.
			other := wire.Formats[1-format]
			get(t, gateway.URL+wire.Path(wire.Search, other)+"?request_id="+id)
			second := u.begin(t, "447700900001")
			list := get(t, path+"?request_ids="+second+"&request_ids="+id)
			expectHeaders(t, list, `caddy-verify; fwd=partial; stored; detail="1 of 2 from memory"`, true)
			reading, err := wire.Read(wire.Search, format, []byte(list.body))
			if err != nil || len(reading.Found) != 2 || reading.Found[0].RequestID != second || reading.Found[1].RequestID != id {
				t.Errorf("the list is %s (%v)", list.body, err)
			}
			if !strings.Contains(first.body, string(reading.Found[1].Raw)) {
				t.Errorf("the list has not the upstream's own bytes: %s", list.body)
			}
			if n := u.searches(); n != 3 {
				t.Errorf("%d searches went upstream, want 3", n)
			}

			// A check, though of a wrong code, ends what memory knows.
			postForm(t, gateway.URL+wire.Path(wire.Check, other), "request_id="+id+"&code=9999")
			changed := get(t, path+"?request_id="+id)
			expectHeaders(t, changed, "caddy-verify; fwd=miss; stored", false)
			if changed.body == first.body || !strings.Contains(changed.body, "9999") {
				t.Errorf("the search does not show the check: %s", changed.body)
			}
			// And so does a control that is refused.
			postForm(t, gateway.URL+wire.Path(wire.Control, format), "request_id="+id+"&cmd=cancel")
			expectHeaders(t, get(t, path+"?request_id="+id), "caddy-verify; fwd=miss; stored", false)
			// But not a request for the same number.
			postForm(t, gateway.URL+wire.Path(wire.Request, format), "number="+testNumber+"&brand=Acme")
			if got := get(t, path+"?request_id="+id); !strings.HasPrefix(got.Header.Get("Cache-Status"), "caddy-verify; hit") {
				t.Errorf("after status 10: Cache-Status is %q", got.Header.Get("Cache-Status"))
			}
		})
	}
}

// While a check is under way nobody knows which state it leaves, so none is given
// from memory.
func TestSearchDuringCheck(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{InProgress: Lifetime(time.Hour)}}})
	id := u.begin(t, testNumber)
	get(t, gateway.URL+"/verify/search/json?request_id="+id)
	u.fail(t, "check hang")
	t.Cleanup(u.CloseClientConnections) // ends the check, which outlives its client
	r := request(t, http.MethodGet, gateway.URL+"/verify/check/json?code=9999&request_id="+id, "", "")
	leaving(t, u, gateway, r, func() bool {
		calls := u.Calls()
		if calls[len(calls)-1].Operation != "check" {
			return false
		}
		expectHeaders(t, get(t, gateway.URL+"/verify/search/json?request_id="+id), "caddy-verify; fwd=miss; stored", false)
		return true
	})
}

func TestStaleSearch(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{InProgress: Lifetime(time.Millisecond)}}})
	id := u.begin(t, testNumber)
	url := gateway.URL + "/verify/search/json?request_id=" + id
	first := get(t, url)
	for _, fault := range []string{"close", "garbage", "status 1", "status 5", "http 502", "http 429"} {
		u.fail(t, "search "+fault)
		got := get(t, url)
		for got.Header.Get("Cache-Status") == "caddy-verify; hit; ttl=0" { // not a millisecond later
			got = get(t, url)
		}
		if got.body != first.body {
			t.Errorf("%s: got %s", fault, got.body)
		}
		if status := got.Header.Get("Cache-Status"); !strings.HasSuffix(status, "; detail=stale-if-error") {
			t.Errorf("%s: Cache-Status is %q", fault, status)
		}
	}
	u.fail(t, "search status 4")
	if got := get(t, url); got.field("status") != "4" {
		t.Errorf("status 4 is not passed on: %s", got.body)
	}
}

func TestCacheOff(t *testing.T) {
	u := newUpstream(t)
	gateway := newGateway(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{Off: true}}})
	id := u.begin(t, testNumber)
	for range 2 {
		expectHeaders(t, get(t, gateway.URL+"/verify/search/json?request_id="+id), "caddy-verify; fwd=bypass", false)
	}
	if n := u.searches(); n != 2 {
		t.Errorf("%d searches went upstream", n)
	}
	u.fail(t, "search status 4")
	get(t, gateway.URL+"/verify/search/json?request_id="+id)
	expectHeaders(t, get(t, gateway.URL+"/verify/search/json?request_id="+id), "caddy-verify; detail=account_bad_credentials", false)
	if n := u.searches(); n != 3 {
		t.Errorf("%d searches went upstream, want one more", n)
	}
}

// A reload must keep what is configured as before, share nothing between
// accounts, and leave no goroutine behind.
func TestCacheSurvivesReload(t *testing.T) {
	defer leavesNothing(t)()
	provision := func(h *Handler) *Handler {
		t.Helper()
		if err := inForce(t, h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	handlers := []*Handler{provision(&Handler{})}
	for range 3 {
		next, last := provision(&Handler{}), handlers[len(handlers)-1]
		if next.gateway.Account != last.gateway.Account {
			t.Error("the cache did not survive a reload")
		}
		if err := last.Cleanup(); err != nil {
			t.Error(err)
		}
		handlers = append(handlers, next)
	}
	live := handlers[len(handlers)-1]
	for name, h := range map[string]*Handler{
		"another account":  {Account: Account{Credentials: &Credentials{APIKey: "other", APISecret: testSecret}}},
		"another upstream": {Account: Account{Upstream: "https://example.com"}},
	} {
		if provision(h).gateway.Account == live.gateway.Account {
			t.Errorf("%s shares the cache", name)
		}
		if err := h.Cleanup(); err != nil {
			t.Error(err)
		}
	}
	if err := live.Cleanup(); err != nil {
		t.Error(err)
	}
	if err := live.Cleanup(); err != nil {
		t.Error("a second Cleanup:", err)
	}
}

// interrupted lets something else happen when the first part of an answer is about to
// be written.
type interrupted struct {
	*httptest.ResponseRecorder
	by func()
}

func (w *interrupted) Write(p []byte) (int, error) {
	if by := w.by; by != nil {
		w.by = nil
		by()
	}
	return w.ResponseRecorder.Write(p)
}

// TestListWhileWritten wants a list to be the client's own until it is written.
func TestListWhileWritten(t *testing.T) {
	u := newUpstream(t)
	h := newGatewayWith(t, &Handler{Account: Account{Upstream: u.URL, Cache: &Cache{InProgress: Lifetime(time.Hour)}}})
	list := func(w http.ResponseWriter, ids ...string) {
		r := httptest.NewRequest(http.MethodGet, wire.Path(wire.Search, wire.JSON)+"?request_ids="+strings.Join(ids, "&request_ids="), nil)
		if err := h.ServeHTTP(w, r, nil); err != nil {
			t.Error(err)
		}
	}
	var ids []string
	for _, number := range []string{"447700900001", "447700900002", "447700900003", "447700900004"} {
		ids = append(ids, u.begin(t, number))
	}
	list(httptest.NewRecorder(), ids...)
	undisturbed := httptest.NewRecorder()
	list(undisturbed, ids[:2]...)
	for range 10 {
		w := &interrupted{httptest.NewRecorder(), func() { list(httptest.NewRecorder(), ids[2:]...) }}
		list(w, ids[:2]...)
		if got, want := w.Body.String(), undisturbed.Body.String(); got != want || !strings.Contains(got, ids[1]) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}
