package wire

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// body reads what a body says, of a GET as of a POST.
func (c *collector) body(r *http.Request) error {
	if r.ContentLength > MaxBody {
		return Refuse(BodyTooLarge, "")
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	body, err := readBody(r, MaxBody)
	if len(body) > MaxBody {
		return Refuse(BodyTooLarge, "")
	}
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return Refuse(BodyTooLarge, "")
		}
		return Refuse(Undecodable, "the body did not arrive whole")
	}
	if body = inBytes(body); saysNothing(body) {
		return nil
	}
	media, charset := mediaType(r.Header)
	if isEncoded(r.Header) {
		media = ""
	}
	switch media {
	case formMedia:
		if looksLikeJSON(body) {
			return Refuse(Undecodable, "the body is JSON but sent as a form")
		}
		c.charset = charset
		return c.form(string(body))
	case jsonMedia:
		if !utf8.Valid(body) {
			text, _ := inUTF8(string(body), charset)
			body = []byte(text)
		}
		return c.json(body)
	}
	return Refuse(UnknownMediaType, "")
}

// readBody is io.ReadAll with a buffer of the declared length, up to something over most. Like
// that it goes on to the end of the body, where HTTP/2 and HTTP/3 tell whether it has that length.
func readBody(r *http.Request, most int) ([]byte, error) {
	var body []byte
	if r.ContentLength >= 0 {
		body = make([]byte, 0, min(r.ContentLength, int64(most))+1)
	}
	for len(body) <= most {
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

// saysNothing tells a body that is as good as none. Some libraries send one with
// every POST.
func saysNothing(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) > len(`"null"`) {
		return false
	}
	switch strings.Join(strings.Fields(string(body)), "") {
	case "", "null", `""`, "{}", "[]":
		return true
	}
	return false
}

// looksLikeJSON tells a form that is none. Its first name would be the whole of it.
func looksLikeJSON(body []byte) bool {
	body = bytes.TrimSpace(body)
	if len(body) >= 3 && body[0] == '%' {
		if text, err := url.PathUnescape(string(body[:3])); err == nil {
			body = []byte(text)
		}
	}
	return len(body) > 0 && (body[0] == '{' || body[0] == '[' || body[0] == '"')
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
		name, value, named := strings.Cut(pair, "=")
		if strings.IndexByte(pair, '%') >= 0 || strings.IndexByte(pair, '+') >= 0 {
			var err error
			if name, err = url.QueryUnescape(name); err == nil {
				value, err = url.QueryUnescape(value)
			}
			if err != nil {
				return Refuse(Undecodable, "a % must be followed by two hexadecimal digits")
			}
		}
		c.bare = !named
		if err := c.add(name, value); err != nil {
			return err
		}
	}
	return nil
}

// json reads the members of a JSON object whose values are strings, numbers, null, or, for request_ids, an array of these. Those of unknown names may
// be anything.
func (c *collector) json(body []byte) error {
	// Names given twice are told apart by add, which can name them. Half a surrogate
	// pair, which is what some languages make of a cut text, is read as U+FFFD.
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return Refuse(Undecodable, "the body is not a JSON object")
	}
	malformed := Refuse(Undecodable, "the body is not valid JSON")
	c.bare = false
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
	p := parameter{kind: kindAddress}
	if i := c.find(name); i >= 0 {
		p = c.known[i]
	} else if !c.isAddress(name) {
		return c.add(name, "")
	}
	if value.Kind() == '[' && p.many {
		return c.elements(name, value)
	}
	text, ok := scalar(value, p.kind)
	if !ok {
		return Refuse(InvalidParameter, name)
	}
	return c.add(name, text)
}

// elements takes in an array. What cannot be an element counts as one, since too
// many are too many whatever they are.
func (c *collector) elements(name string, array jsontext.Value) error {
	d := jsontext.NewDecoder(bytes.NewReader(array), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return Refuse(InvalidParameter, name)
	}
	for d.PeekKind() != ']' {
		element, err := d.ReadValue()
		if err != nil {
			return Refuse(InvalidParameter, name)
		}
		text, ok := scalar(element, kindID)
		if !ok {
			text = "\x00" // no value of any kind
		}
		if err := c.add(name, text); err != nil {
			return err
		}
	}
	return nil
}

// scalar returns a JSON value as the text that a form would have for it. Of numbers
// only an amount may have a fraction: a phone number with one is no number any more.
func scalar(value jsontext.Value, k kind) (string, bool) {
	switch value.Kind() {
	case 'n':
		return "", true
	case '"':
		// The value is a JSON string by now: the only error left is half a surrogate pair.
		text, _ := jsontext.AppendUnquote(nil, value)
		return string(text), true
	case '0':
		for _, c := range value {
			if (c < '0' || c > '9') && (c != '.' || k != kindAmount) {
				return "", false
			}
		}
		return string(value), true
	}
	return "", false
}
