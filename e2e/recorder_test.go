//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"testing"
)

// recorder stands between the gateway and the Verify API and keeps every call that the gateway makes.
type recorder struct {
	URL string

	mu    sync.Mutex
	calls []call
}

// call is one call as it came over the wire.
type call struct {
	method, path  string
	authorization string
	everything    string // all of it, with what is escaped in the query and body once more unescaped
}

func startRecorder(t *testing.T, upstream string) *recorder {
	t.Helper()
	target, err := url.Parse(upstream)
	if err != nil {
		t.Fatal(err)
	}
	r := new(recorder)
	proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		wire, err := httputil.DumpRequest(req, true)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		query, _ := url.QueryUnescape(req.URL.RawQuery)
		form, _ := url.QueryUnescape(string(body))
		r.mu.Lock()
		r.calls = append(r.calls, call{
			method:        req.Method,
			path:          req.URL.Path,
			authorization: req.Header.Get("Authorization"),
			everything:    string(wire) + "\n" + query + "\n" + form,
		})
		r.mu.Unlock()
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

func (r *recorder) recorded() []call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}
