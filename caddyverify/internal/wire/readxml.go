package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
)

// readXML reads an XML answer by its elements' names, whatever the root is
// called: search errors have been seen under two roots. A document type is
// refused, and with it all entities but XML's own five. A byte order mark is a part of
// XML, which readers pass over; Go's does not.
func readXML(body []byte) (Reading, error) {
	body = bytes.TrimPrefix(body, []byte("\ufeff"))
	x := xmlReader{Decoder: xml.NewDecoder(bytes.NewReader(body)), body: body}
	var r Reading
	root, start, err := x.root()
	if err != nil {
		return r, err
	}
	if root == "verification_requests" {
		r.List = true
		r.Found, err = x.list()
		r.Raw = x.raw(start)
	} else {
		r.Verification, err = x.element(start)
	}
	if err != nil {
		return r, err
	}
	if !r.List && r.Status == "" {
		return r, errUnreadable
	}
	return r, x.end()
}

// isXML tells whether a body is well-formed, with one element around all and no deeper
// than answers may be.
func isXML(body []byte) bool {
	x := xmlReader{Decoder: xml.NewDecoder(bytes.NewReader(body)), body: body}
	if _, _, err := x.root(); err != nil {
		return false
	}
	for x.depth > 0 {
		if _, _, err := x.next(); err != nil {
			return false
		}
	}
	return x.end() == nil
}

type xmlReader struct {
	*xml.Decoder
	body  []byte
	depth int
}

// next returns the next token that is an element's start or end, or text.
func (x *xmlReader) next() (token xml.Token, start int64, err error) {
	for {
		start = x.InputOffset()
		token, err = x.Token()
		if err != nil {
			return nil, start, err
		}
		switch token.(type) {
		case xml.StartElement:
			if x.depth++; x.depth > maxDepth {
				return nil, start, errUnreadable
			}
		case xml.EndElement:
			x.depth--
		case xml.CharData:
		case xml.Directive:
			return nil, start, errUnreadable
		default: // comment or processing instruction
			continue
		}
		return token, start, nil
	}
}

// raw returns the bytes read since start, in a slice that an append copies.
func (x *xmlReader) raw(start int64) []byte {
	end := x.InputOffset()
	return x.body[start:end:end]
}

// root reads up to the start of the root element.
func (x *xmlReader) root() (name string, start int64, err error) {
	for {
		token, start, err := x.next()
		if err != nil {
			return "", 0, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return t.Name.Local, start, nil
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return "", 0, errUnreadable
			}
		}
	}
}

// end makes sure that nothing follows the root element.
func (x *xmlReader) end() error {
	for {
		token, _, err := x.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if text, ok := token.(xml.CharData); !ok || len(bytes.TrimSpace(text)) > 0 {
			return errUnreadable
		}
	}
}

// element reads the children of the element that began at start.
func (x *xmlReader) element(start int64) (v Verification, err error) {
	var told []string // the names met so far, of those that matter
	for {
		token, _, err := x.next()
		if err != nil {
			return v, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			name := t.Name.Local
			text, nested, err := x.text()
			switch {
			case err != nil:
				return v, err
			case nested && !isStatus(name):
				continue
			case nested, slices.Contains(told, name), !v.set(name, []byte(text)):
				return v, errUnreadable
			case v.field(name) != nil:
				told = append(told, name)
			}
		case xml.EndElement:
			v.Raw = x.raw(start)
			return v, nil
		}
	}
}

// text reads to the end of the present element and returns its own text. nested
// tells that it has elements inside, so that its text is not all there is.
func (x *xmlReader) text() (text string, nested bool, err error) {
	var b strings.Builder
	for floor := x.depth - 1; ; {
		token, _, err := x.next()
		if err != nil {
			return "", false, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			nested = true
		case xml.CharData:
			if x.depth == floor+1 {
				b.Write(t)
			}
		case xml.EndElement:
			if x.depth == floor {
				return strings.TrimSpace(b.String()), nested, nil
			}
		}
	}
}

// list reads the children of verification_requests.
func (x *xmlReader) list() ([]*Verification, error) {
	found := []*Verification{}
	for {
		token, start, err := x.next()
		if err != nil {
			return nil, err
		}
		switch token.(type) {
		case xml.StartElement:
			v, err := x.element(start)
			if err != nil {
				return nil, err
			}
			if v.Status == "" {
				return nil, errUnreadable
			}
			found = append(found, &v)
		case xml.EndElement:
			return found, nil
		}
	}
}
