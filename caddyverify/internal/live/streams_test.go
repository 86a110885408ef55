package live

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/gateway"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/observe"
)

// TestStreamsAreBounded opens streams until there are too many: those of a kind take nothing from the other kind, and one
// that ends makes room.
func TestStreamsAreBounded(t *testing.T) {
	account := gateway.NewAccount("provider.example", "abcd1234", observe.NewMetrics(), &gateway.Settings{})
	defer account.Close()
	done := make(chan struct{})
	page := &Page{Accounts: func() []*gateway.Account { return []*gateway.Account{account} }, Done: done}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == StreamPath {
			page.ServeHTTP(w, r)
		} else if err := ServeEvents(w, r, done, page.Accounts()); errors.Is(err, ErrTooMany) {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	defer close(done)
	open := func(method, path string, want int) (end func() error) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if response.StatusCode != want {
			t.Errorf("%s %s: %s, want %d", method, path, response.Status, want)
		}
		return response.Body.Close
	}
	kinds := map[string]*streams{StreamPath: &ofPage, "/events": &ofEvents}
	for path, kind := range kinds {
		_ = open(http.MethodHead, path, http.StatusOK) // ends at once
		var end func() error
		for range maxStreams {
			end = open(http.MethodGet, path, http.StatusOK)
		}
		if n := kind.open.Load(); n != maxStreams {
			t.Errorf("%s: %d are open", path, n)
		}
		_ = open(http.MethodGet, path, http.StatusServiceUnavailable)
		if err := end(); err != nil {
			t.Error(err)
		}
		for kind.open.Load() == maxStreams {
			runtime.Gosched() // the server is told that it is closed
		}
		_ = open(http.MethodGet, path, http.StatusOK)
	}
}
