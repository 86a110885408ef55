//go:build e2e

package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// client is the applications behind the gateway.
type client struct {
	books *books
	base  string
	http  http.Client

	resets atomic.Int32 // connections that a reload has cost
}

func newClient(b *books, address string) *client {
	return &client{
		books: b,
		base:  "http://" + address,
		http: http.Client{
			// A connection for each call: on a reload the gateway closes those that are kept.
			Transport: &http.Transport{DisableKeepAlives: true},
			Timeout:   patience,
		},
	}
}

// how a client makes a call.
type how struct {
	format string // json or xml
	place  string // query, form or json: where the parameters stand
	key    string // Idempotency-Key
	replay bool   // it was used before
}

var paths = map[string]string{
	"request": "/verify/",
	"check":   "/verify/check/",
	"search":  "/verify/search/",
	"control": "/verify/control/",
}

var (
	hitPattern   = regexp.MustCompile(`^caddy-verify; hit; ttl=-?\d+$`)
	causePattern = regexp.MustCompile(`details="([a-z_]+)"`)
)

// call makes a call as a traced application does, and enters what it reads. The error tells that this was no answer.
//
// On a reload Caddy opens its port once more before it closes it, and connections that wait to be accepted just then are
// reset. Nobody has seen what they carry, and an application tries again: were that wrong, there would be more server
// spans than calls in the books.
func (c *client) call(how how, operation, country string, params url.Values) (*exchange, error) {
	for try := 1; ; try++ {
		x, err := c.try(how, operation, country, params)
		if reset := new(url.Error); errors.As(err, &reset) && !reset.Timeout() && try < 5 {
			c.resets.Add(1)
			time.Sleep(pause)
			continue
		}
		return x, err
	}
}

func (c *client) try(how how, operation, country string, params url.Values) (*exchange, error) {
	x := &exchange{
		at: time.Now(), trace: randomHex(16), parent: randomHex(8),
		method: http.MethodPost, operation: operation, country: country,
		ids:  idsIn(params),
		list: params.Has("request_ids"),

		replay: how.replay,
	}
	request, err := how.request(c.base+paths[operation]+how.format, params)
	if err != nil {
		return nil, err
	}
	x.method = request.Method
	request.Header.Set("Traceparent", "00-"+x.trace+"-"+x.parent+"-01")
	request.Header.Set("Tracestate", "app=canary")
	request.Header.Set("Baggage", "user=canary")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if how.format == "xml" {
		err = xml.Unmarshal(text, &x.answer)
	} else {
		err = json.Unmarshal(text, &x.answer)
	}
	if err != nil || x.status() == "" || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: HTTP %s, %v:\n%s", x.method, operation, response.Status, err, text)
	}
	x.judge(response.Header)
	c.books.enter(x)
	return x, nil
}

// request writes a call down in one of the ways that the API takes.
func (h *how) request(target string, params url.Values) (*http.Request, error) {
	method, contentType, body := http.MethodPost, "", ""
	switch h.place {
	case "query":
		method = http.MethodGet
		target += "?" + params.Encode()
	case "form":
		contentType, body = "application/x-www-form-urlencoded", params.Encode()
	case "json":
		members := map[string]any{}
		for name, values := range params {
			members[name] = values[0]
			if name == "request_ids" {
				members[name] = values
			}
		}
		text, _ := json.Marshal(members) // texts always marshal
		contentType, body = "application/json", string(text)
	}
	request, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if h.key != "" {
		request.Header.Set("Idempotency-Key", h.key)
	}
	return request, nil
}

func idsIn(params url.Values) []string {
	return slices.Concat(params["request_id"], params["request_ids"])
}

// judge tells from the headers where an answer comes from.
func (x *exchange) judge(header http.Header) {
	x.source = "upstream"
	switch status := header.Get("Cache-Status"); {
	case x.operation != "search" || status == "":
	case strings.HasSuffix(status, "detail=stale-if-error"):
		x.source, x.cache = "cache", "stale"
	case hitPattern.MatchString(status):
		x.source, x.cache = "cache", "hit"
	case strings.Contains(status, "; fwd=partial"):
		x.cache = "partial"
	case strings.HasSuffix(status, "; collapsed"):
		x.cache = "coalesced"
	default:
		x.cache = "miss"
	}
	if match := causePattern.FindStringSubmatch(header.Get("Proxy-Status")); match != nil {
		x.source, x.cause = "gateway", match[1]
	}
	switch {
	case x.operation == "search":
	case x.cause == "missing_parameter", x.cause == "invalid_parameter", sampledCauses[x.cause]:
		// It was not understood, or refused: nothing was delivered.
	case x.replay:
		x.source, x.delivered = "cache", "replayed"
	default:
		x.delivered = "sent"
	}
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
