package gateway

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// A client is told the length of every answer, whoever says it.
func TestContentLength(t *testing.T) {
	for _, operation := range []wire.Operation{wire.Request, wire.Search} {
		for _, length := range []int{1, shortBody, shortBody + 1, 10 * shortBody} {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				x := exchange{operation: operation, answer: wire.Answer{Code: http.StatusOK, Body: make([]byte, length)}}
				if err := write(w, &x); err != nil {
					t.Error(err)
				}
			}))
			defer server.Close()
			response, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			if response.Body.Close(); response.ContentLength != int64(length) {
				t.Errorf("%s: Content-Length %d for %d bytes", operation, response.ContentLength, length)
			}
		}
	}
}
