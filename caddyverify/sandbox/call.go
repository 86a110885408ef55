package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxBody is far above what any call needs: it bounds what is recorded.
const maxBody = 64 << 10

// call is what a client asked for, whichever way it asked.
type call struct {
	api       string // v1 or v2
	operation string // as in Call.Operation
	format    string // json or xml
	params    url.Values
	places    []string // where credentials were found
	apiKey    string
	apiSecret string
	v2        callV2
}

// get is the first value of a parameter, "" if there is none.
func (c call) get(name string) string { return c.params.Get(name) }

// read makes a call of an HTTP request. If that is not possible, code is the
// HTTP status that says why, and otherwise 0.
//
// The body is read to its end in every case: only then does net/http notice a
// client that leaves.
func read(w http.ResponseWriter, r *http.Request) (c call, code int) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	c.api = V1
	c.operation, c.format = operationOf(r.URL.EscapedPath())
	query := r.URL.Query()
	c.params = query
	var tooBig *http.MaxBytesError
	switch {
	case c.operation == "":
		return c, http.StatusNotFound
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		return c, http.StatusMethodNotAllowed
	case errors.As(err, &tooBig):
		return c, http.StatusRequestEntityTooLarge
	case err != nil:
		return c, http.StatusBadRequest
	}

	if user, pass, ok := r.BasicAuth(); ok {
		c.found("basic", user, pass)
	}
	c.found("query", query.Get("api_key"), query.Get("api_secret"))
	place, params := bodyParams(r.Header.Get("Content-Type"), body)
	c.found(place, params.Get("api_key"), params.Get("api_secret"))
	for name, values := range params {
		c.params[name] = append(c.params[name], values...)
	}
	return c, 0
}

// operationOf reads the path, undecoded so that there is one way to write it.
func operationOf(path string) (operation, format string) {
	rest, ok := strings.CutPrefix(path, "/verify/")
	if !ok {
		return "", ""
	}
	operation = "request"
	if first, last, deeper := strings.Cut(rest, "/"); deeper {
		operation, rest = first, last
		if !slices.Contains([]string{"check", "search", "control", "psd2"}, operation) {
			return "", ""
		}
	}
	if rest != "json" && (rest != "xml" || operation == "psd2") {
		return "", ""
	}
	return operation, rest
}

// found notes credentials seen at a place; the first ones count.
func (c *call) found(place, key, secret string) {
	if key == "" && secret == "" {
		return
	}
	c.places = append(c.places, place)
	if c.apiKey == "" {
		c.apiKey = key
	}
	if c.apiSecret == "" {
		c.apiSecret = secret
	}
}

// bodyParams reads what it can of a body; the rest is as if not sent.
func bodyParams(contentType string, body []byte) (place string, params url.Values) {
	media, _, _ := mime.ParseMediaType(contentType)
	if media == "application/json" {
		return "json", jsonParams(body)
	}
	params, _ = url.ParseQuery(string(body))
	return "form", params
}

// jsonParams reads a JSON object of strings, numbers and lists of them.
func jsonParams(body []byte) url.Values {
	params := url.Values{}
	var members map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // a phone number is no float
	if d.Decode(&members) != nil {
		return params
	}
	for name, value := range members {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, v := range list {
			switch v := v.(type) {
			case nil:
			case string:
				params.Add(name, v)
			default:
				text, _ := json.Marshal(v) // cannot fail: it has just been decoded
				params.Add(name, string(text))
			}
		}
	}
	return params
}
