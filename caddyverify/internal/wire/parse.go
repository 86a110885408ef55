package wire

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// The most that a call may bring. The API's largest real call, a search for ten
// verifications, is under 1 KiB.
const (
	MaxBody       = 16 << 10 // bytes
	MaxQuery      = 8 << 10  // bytes
	MaxParameters = 64
)

// Parse reads what a client sent for an operation: GET with a query, POST with
// a form or a JSON object, credentials or none. The error is a *Fault.
//
// An unknown parameter, or one given twice, is refused rather than dropped or
// sent on: the provider must never see something else than what was checked here.
// Names of credentials are dropped wherever they stand, near misses of them are
// unknown parameters like any other. A parameter without a value is as if it
// were not there.
func Parse(o Operation, f Format, r *http.Request) (*Call, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, Refuse(MethodNotAllowed, r.Method)
	}
	if len(r.URL.RawQuery) > MaxQuery {
		return nil, Refuse(QueryTooLong, "")
	}
	c := collector{known: parameters[o]}
	if err := c.form(r.URL.RawQuery); err != nil {
		return nil, err
	}
	if err := c.body(r); err != nil {
		return nil, err
	}
	return c.call(o, f)
}

// collector gathers parameters from all the places a client may use.
type collector struct {
	known []parameter
	found [11]string // by index in known; as many as the longest list has
	seen  [11]bool
	ids   []string // request_ids, in the order asked
	count int
}

func (c *collector) body(r *http.Request) error {
	if r.Method == http.MethodGet {
		// RFC 9110, section 9.3.1: content in a GET has no meaning.
		if r.ContentLength != 0 && !isEmpty(r.Body) {
			return Refuse(Undecodable, "GET takes them in the query, not in a body")
		}
		return nil
	}
	if r.ContentLength > MaxBody {
		return Refuse(BodyTooLarge, "")
	}
	if r.ContentLength == 0 || r.Body == nil {
		return nil
	}
	body, err := readBody(r)
	if len(body) > MaxBody {
		return Refuse(BodyTooLarge, "")
	}
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return Refuse(BodyTooLarge, "")
		}
		return Refuse(Undecodable, "the body did not arrive whole")
	}
	if len(body) == 0 {
		return nil
	}
	switch mediaType(r.Header) {
	case "application/x-www-form-urlencoded":
		return c.form(string(body))
	case "application/json":
		return c.json(body)
	}
	return Refuse(UnknownMediaType, "")
}

// readBody is io.ReadAll with a buffer of the declared length, which is at most
// MaxBody, up to something over MaxBody. Like that it goes on to the end of the
// body, where HTTP/2 and HTTP/3 tell whether it has that length.
func readBody(r *http.Request) ([]byte, error) {
	var body []byte
	if r.ContentLength >= 0 {
		body = make([]byte, 0, r.ContentLength+1)
	}
	for len(body) <= MaxBody {
		if len(body) == cap(body) {
			body = slices.Grow(body, bytes.MinRead)
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if err == io.EOF {
			return body, nil
		}
		if err != nil {
			return body, err
		}
	}
	return body, nil
}

// isEmpty tells whether a body has no content. Over HTTP/3 no request without a
// Content-Length says so beforehand.
func isEmpty(body io.Reader) bool {
	if body == nil {
		return true
	}
	n, err := io.ReadFull(body, make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// mediaType returns the media type of a request's body, or "" for one that cannot
// be read.
func mediaType(h http.Header) string {
	if len(h["Content-Type"]) != 1 || len(h["Content-Encoding"]) != 0 {
		return ""
	}
	media, params, err := parseMediaType(h["Content-Type"][0])
	if charset := params["charset"]; err != nil ||
		charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return ""
	}
	return media
}

// parseMediaType is mime.ParseMediaType, at no cost for the two that nearly all
// bodies have.
func parseMediaType(text string) (media string, params map[string]string, err error) {
	switch text {
	case "application/json", "application/x-www-form-urlencoded":
		return text, nil, nil
	}
	return mime.ParseMediaType(text)
}

// form reads the pairs of a query or a form. Unlike url.ParseQuery it keeps no
// pair that it could not decode from being noticed.
func (c *collector) form(raw string) error {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue // some SDKs end the query with &
		}
		if strings.Contains(pair, ";") {
			return Refuse(Undecodable, "write ; as %3B")
		}
		name, value, _ := strings.Cut(pair, "=")
		if strings.IndexByte(pair, '%') >= 0 || strings.IndexByte(pair, '+') >= 0 {
			var err error
			if name, err = url.QueryUnescape(name); err == nil {
				value, err = url.QueryUnescape(value)
			}
			if err != nil {
				return Refuse(Undecodable, "a % must be followed by two hexadecimal digits")
			}
		}
		if err := c.add(name, value); err != nil {
			return err
		}
	}
	return nil
}

// json reads the members of a JSON object whose values are strings, whole
// numbers, null, or, for request_ids, an array of these.
func (c *collector) json(body []byte) error {
	// Names given twice are told apart by add, which can name them.
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	if d.PeekKind() != '{' {
		return Refuse(Undecodable, "the body is not a JSON object")
	}
	malformed := Refuse(Undecodable, "the body is not valid JSON")
	if _, err := d.ReadToken(); err != nil {
		return malformed
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return malformed
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return malformed
		}
		if err := c.member(name, value); err != nil {
			return err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return malformed
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return malformed
	}
	return nil
}

func (c *collector) member(name string, value jsontext.Value) error {
	if isCredential(name) {
		return c.add(name, "")
	}
	if value.Kind() == '[' && name == "request_ids" {
		d := jsontext.NewDecoder(bytes.NewReader(value))
		if _, err := d.ReadToken(); err != nil {
			return Refuse(InvalidParameter, name)
		}
		for d.PeekKind() != ']' {
			element, err := d.ReadValue()
			if err != nil {
				return Refuse(InvalidParameter, name)
			}
			text, ok := scalar(element)
			if !ok {
				return Refuse(InvalidParameter, name)
			}
			if err := c.add(name, text); err != nil {
				return err
			}
		}
		return nil
	}
	text, ok := scalar(value)
	if err := c.add(name, text); err != nil {
		return err
	}
	if !ok {
		return Refuse(InvalidParameter, name)
	}
	return nil
}

// scalar returns a JSON value as the text that a form would have for it.
func scalar(value jsontext.Value) (string, bool) {
	switch value.Kind() {
	case 'n':
		return "", true
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		return string(text), err == nil
	case '0':
		for _, c := range value {
			if c < '0' || c > '9' {
				return "", false
			}
		}
		return string(value), true
	}
	return "", false
}

// add takes in one parameter.
func (c *collector) add(name, value string) error {
	if c.count++; c.count > MaxParameters {
		return Refuse(TooManyParameters, "")
	}
	if isCredential(name) {
		return nil
	}
	for i, p := range c.known {
		if p.name != name {
			continue
		}
		if c.seen[i] && !p.many {
			return Refuse(RepeatedParameter, name)
		}
		c.seen[i] = true
		if value == "" {
			return nil
		}
		fits := fit
		if p.id {
			fits = isRequestID
		}
		if !fits(value) {
			return Refuse(InvalidParameter, name)
		}
		if p.many {
			return c.addID(value)
		}
		c.found[i] = value
		return nil
	}
	return Refuse(UnknownParameter, name)
}

func (c *collector) addID(id string) error {
	for _, known := range c.ids {
		if known == id {
			return nil
		}
	}
	if len(c.ids) == MaxIDs {
		return Refuse(TooManyRequestIDs, "")
	}
	if c.ids == nil {
		c.ids = make([]string, 0, MaxIDs)
	}
	c.ids = append(c.ids, id)
	return nil
}

// call puts what was gathered in the canonical order.
func (c *collector) call(o Operation, f Format) (*Call, error) {
	made := new(struct {
		Call
		room [2]Param // enough for most calls, in the same piece of memory
	})
	call := &made.Call
	call.Operation, call.Format, call.Params = o, f, made.room[:0]
	if c.count > len(made.room) {
		call.Params = make([]Param, 0, c.count)
	}
	for i, p := range c.known {
		switch {
		case p.many:
			for _, id := range c.ids {
				call.Params = append(call.Params, Param{p.name, id})
			}
		case c.found[i] != "":
			call.Params = append(call.Params, Param{p.name, c.found[i]})
		case p.mandatory:
			return nil, Refuse(MissingParameter, p.name)
		}
	}
	if o == Search {
		switch {
		case len(call.Params) == 0:
			return nil, Refuse(MissingParameter, "request_id")
		case len(c.ids) > 0 && call.Params[0].Name == "request_id":
			// The API answers one with an object, the other with a list.
			return nil, Refuse(RepeatedParameter, "request_id or request_ids, not both")
		}
	}
	return call, nil
}

// fit tells whether a value can be one at all: text without control characters.
func fit(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(value)
}

// isRequestID tells whether value can name a verification. Real ones are 32
// hexadecimal digits, the documentation's have dashes, the SDKs' tests use words.
func isRequestID(value string) bool {
	if len(value) > 64 {
		return false
	}
	for i := range len(value) {
		if !idBytes[value[i]] {
			return false
		}
	}
	return value != ""
}

// idBytes are those that a request_id may have.
var idBytes = func() (is [256]bool) {
	for _, c := range []byte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") {
		is[c] = true
	}
	return is
}()
