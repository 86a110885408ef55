package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// readJSON reads a JSON answer. The decoder refuses invalid UTF-8 and an object
// that names a member twice, so that no two readers can disagree on a status.
func readJSON(body []byte) (Reading, error) {
	d := decoders.Get().(*jsontext.Decoder)
	d.Reset(bytes.NewBuffer(body))
	defer func() {
		d.Reset(nothing) // lets go of the body
		decoders.Put(d)
	}()
	var r Reading
	verification, found, err := jsonObject(d, body, 0)
	if err != nil {
		return r, err
	}
	r.Verification, r.Found, r.List = verification, found, found != nil
	if r.List == (r.Status != "") {
		return r, errUnreadable // neither a status nor a list, or both
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return r, errUnreadable
	}
	return r, nil
}

// decoders are used again: to make one takes as long as to read an answer with it.
var decoders = sync.Pool{New: func() any { return jsontext.NewDecoder(nothing) }}

var nothing = strings.NewReader("")

// jsonObject reads one object. found is not nil where it is a list.
func jsonObject(d *jsontext.Decoder, body []byte, depth int) (v Verification, found []*Verification, err error) {
	if d.PeekKind() != '{' {
		return v, nil, errUnreadable
	}
	if _, err = d.ReadToken(); err != nil {
		return v, nil, err
	}
	start := d.InputOffset() - 1
	for d.PeekKind() != '}' {
		quoted, err := d.ReadValue()
		if err != nil {
			return v, nil, err
		}
		name := string(unquote(quoted))
		switch kind := d.PeekKind(); {
		case kind == '"', kind == '0': // numbers come as strings, but for a status in one old answer
			value, err := d.ReadValue()
			if err != nil {
				return v, nil, err
			}
			if !v.set(name, unquote(value)) {
				return v, nil, errUnreadable
			}
		case isStatus(name):
			return v, nil, errUnreadable
		case name == "verification_requests" && depth == 0 && kind == '[':
			if found, err = jsonList(d, body); err != nil {
				return v, nil, err
			}
		default:
			if err := skipJSON(d); err != nil {
				return v, nil, err
			}
		}
	}
	if _, err = d.ReadToken(); err != nil {
		return v, nil, err
	}
	end := d.InputOffset()
	v.Raw = body[start:end:end]
	return v, found, nil
}

// unquote returns the text of a string, and of a number as it stands. It may be a
// part of value, which the decoder has validated.
func unquote(value jsontext.Value) []byte {
	if value.Kind() != '"' {
		return value
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return value[1 : len(value)-1]
	}
	text, _ := jsontext.AppendUnquote(nil, value)
	return text
}

func jsonList(d *jsontext.Decoder, body []byte) ([]*Verification, error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, err
	}
	found := []*Verification{}
	for d.PeekKind() != ']' {
		v, _, err := jsonObject(d, body, 1)
		if err != nil {
			return nil, err
		}
		if v.Status == "" {
			return nil, errUnreadable
		}
		found = append(found, &v)
	}
	_, err := d.ReadToken()
	return found, err
}

// skipJSON reads over one value, unless it is nested too deep.
func skipJSON(d *jsontext.Decoder) error {
	floor := d.StackDepth()
	for {
		if _, err := d.ReadToken(); err != nil {
			return err
		}
		switch depth := d.StackDepth(); {
		case depth > maxDepth:
			return errUnreadable
		case depth == floor:
			return nil
		}
	}
}
