package main

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// call is one call as a client means it.
type call struct {
	operation string // request, check, search, control or psd2
	format    string // json or xml
	way       string // get, form or json
	params    url.Values
	key       string // Idempotency-Key, if any
}

func pathOf(operation, format string) string {
	if operation == "request" {
		return "/verify/" + format
	}
	return "/verify/" + operation + "/" + format
}

func operationOf(urlPath string) string {
	if word := path.Base(path.Dir(urlPath)); word != "verify" {
		return word
	}
	return "request"
}

func formatOf(urlPath string) string { return path.Base(urlPath) }

// http makes the HTTP request of a call.
func (c call) http(ctx context.Context, gateway string) (*http.Request, error) {
	target, method, body, media := gateway+pathOf(c.operation, c.format), http.MethodPost, "", ""
	switch c.way {
	case "get":
		method, target = http.MethodGet, target+"?"+c.params.Encode()
	case "form":
		body, media = c.params.Encode(), "application/x-www-form-urlencoded"
	case "json":
		members := map[string]any{}
		for name, values := range c.params {
			members[name] = values[0]
			if name == "request_ids" {
				members[name] = values
			}
		}
		text, err := json.Marshal(members)
		if err != nil {
			return nil, err
		}
		body, media = string(text), "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	if c.key != "" {
		r.Header.Set("Idempotency-Key", c.key)
	}
	return r, nil
}

// answer is what a client reads.
type answer struct {
	verification
	found []verification
	raw   string
	code  int
	// own is the cause of an answer that the gateway gave by itself, and sent
	// whether its text says that the call may have been sent.
	own  string
	sent bool
	left bool  // the client left instead
	err  error // no answer came
}

// verification is the same in JSON and XML, but for lists.
type verification struct {
	RequestID string `json:"request_id" xml:"request_id"`
	Status    string `json:"status" xml:"status"`
	ErrorText string `json:"error_text" xml:"error_text"`
}

// String shows an answer in a violation.
func (a answer) String() string {
	switch {
	case a.left:
		return "the client left"
	case a.err != nil:
		return a.err.Error()
	}
	return fmt.Sprintf("HTTP %d %s", a.code, a.raw)
}

// nothing tells an answer which promises that the API has seen nothing of the call.
func (a answer) nothing() bool { return a.own != "" && !a.sent }

// perhaps tells an answer, or a lack of one, that leaves open what became of the call.
func (a answer) perhaps() bool { return a.own != "" && a.sent || a.left }

// final tells an answer of the API itself.
func (a answer) final() bool { return a.own == "" && !a.left && a.err == nil }

// send makes a call over HTTP.
func (c call) send(ctx context.Context, transport http.RoundTripper, gateway string) answer {
	r, err := c.http(ctx, gateway)
	if err != nil {
		return answer{err: err}
	}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return answer{left: ctx.Err() != nil, err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{left: ctx.Err() != nil, err: err}
	}
	a := read(c.format, body)
	a.code = response.StatusCode
	if proxy := response.Header.Get("Proxy-Status"); proxy != "" {
		_, details, _ := strings.Cut(proxy, `details="`)
		a.own = strings.TrimSuffix(details, `"`)
		a.sent = !strings.Contains(a.ErrorText, "; nothing was sent (")
	}
	return a
}

// read reads an answer, which has no status if it is none.
func read(format string, body []byte) answer {
	a := answer{raw: string(body)}
	var many struct {
		Requests []verification `json:"verification_requests" xml:"verify_request"`
	}
	decode := json.Unmarshal
	if format == "xml" {
		decode = xml.Unmarshal
	}
	if decode(body, &a.verification) != nil || decode(body, &many) != nil {
		a.verification = verification{}
		return a
	}
	a.found = many.Requests
	if a.RequestID != "" && a.Status != "" {
		a.found = append(a.found, a.verification)
	}
	return a
}
