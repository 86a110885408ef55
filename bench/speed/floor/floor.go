// Package floor is the least that a handler in Caddy can do for a call of the Verify API: one look-up in a map, or one
// round trip of net/http's own transport. What caddy-verify costs more than this is the price of what it does.
package floor

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(new(Handler))
	httpcaddyfile.RegisterHandlerDirective("floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		handler := new(Handler)
		return handler, handler.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("floor", httpcaddyfile.Before, "reverse_proxy")
}

// Handler keeps every answer to a search for ever and passes all else on.
type Handler struct {
	Upstream string `json:"upstream"`
	Key      string `json:"key"`
	Secret   string `json:"secret"`

	transport *http.Transport
	mu        sync.RWMutex
	known     map[string]answer // by request_id
}

type answer struct {
	code        int
	contentType string
	body        []byte
}

// CaddyModule implements caddy.Module.
func (*Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.floor", New: func() caddy.Module { return new(Handler) }}
}

// UnmarshalCaddyfile sets up the handler from Caddyfile tokens. Syntax:
//
//	floor <upstream> <key> <secret>
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if !d.Args(&h.Upstream, &h.Key, &h.Secret) || d.NextArg() {
		return d.ArgErr()
	}
	return nil
}

// Provision makes the transport, which keeps connections as Caddy's own does.
func (h *Handler) Provision(caddy.Context) error {
	h.transport = &http.Transport{MaxIdleConnsPerHost: 32, IdleConnTimeout: 2 * time.Minute}
	h.known = map[string]answer{}
	return nil
}

// Cleanup closes the connections that are kept.
func (h *Handler) Cleanup() error {
	h.transport.CloseIdleConnections()
	return nil
}

// ServeHTTP answers searches from the map if it can.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if !strings.HasPrefix(r.URL.Path, "/verify/search/") {
		a, err := h.ask(r)
		if err != nil {
			return caddyhttp.Error(http.StatusBadGateway, err)
		}
		return a.write(w)
	}
	id := r.URL.Query().Get("request_id")
	h.mu.RLock()
	a, ok := h.known[id]
	h.mu.RUnlock()
	if !ok {
		var err error
		if a, err = h.ask(r); err != nil {
			return caddyhttp.Error(http.StatusBadGateway, err)
		}
		h.mu.Lock()
		h.known[id] = a
		h.mu.Unlock()
	}
	return a.write(w)
}

// ask makes the round trip.
func (h *Handler) ask(r *http.Request) (answer, error) {
	call, err := http.NewRequestWithContext(r.Context(), r.Method, h.Upstream+r.URL.RequestURI(), r.Body)
	if err != nil {
		return answer{}, err
	}
	call.ContentLength = r.ContentLength
	if contentType := r.Header.Get("Content-Type"); contentType != "" {
		call.Header.Set("Content-Type", contentType)
	}
	call.SetBasicAuth(h.Key, h.Secret)
	response, err := h.transport.RoundTrip(call)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header.Get("Content-Type"), body}, err
}

func (a answer) write(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.code)
	_, err := w.Write(a.body)
	return err
}

var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
