package wire

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Managed is what a call about templates (Operation Templates) is made of: it is about no
// verification and has no parameters of version 1.
type Managed struct {
	Method string
	// Path is below the upstream's URL, with the ids as version 2 writes them, and Route the same with
	// them left open. Query has nothing but numbers.
	Path, Route, Query string
}

// maxPageSize is the most that a page may have: an answer is read before it is passed on.
const maxPageSize = 100

// The segments of their paths.
const (
	segmentTemplates = "templates"
	segmentFragments = "template_fragments"
)

var (
	methodsOfMany = []string{http.MethodGet, http.MethodPost}
	methodsOfOne  = []string{http.MethodGet, http.MethodPatch, http.MethodDelete}
)

// matchTemplates returns the call of a path below that of version 2, and its methods; none where
// there is no such path.
func matchTemplates(below string) (p PathV2, methods []string) {
	parts := strings.Split(below, "/")
	names := [...]string{segmentTemplates, "{template_id}", segmentFragments, "{template_fragment_id}"}
	if len(parts) > len(names) {
		return p, nil
	}
	p = PathV2{Operation: Templates, Route: pathV2, Path: pathV2}
	for i, part := range parts {
		if i%2 == 0 && part != names[i] || i%2 == 1 && !isUUID(part) {
			return PathV2{}, nil
		}
		if i%2 == 1 {
			part = UUID(part)
		}
		p.Route, p.Path = p.Route+"/"+names[i], p.Path+"/"+part
	}
	if len(parts)%2 == 1 {
		return p, methodsOfMany
	}
	return p, methodsOfOne
}

// The members of their bodies by the API's documentation (version 1.0.1).
var (
	newTemplateV2     = []memberV2{{"name", textV2}}
	changedTemplateV2 = []memberV2{{"name", textV2}, {"is_default", booleanV2}}
	newFragmentV2     = []memberV2{{"channel", textV2}, {"locale", textV2}, {"text", linesV2}}
	changedFragmentV2 = []memberV2{{"text", linesV2}}
)

// templates reads a call about templates.
func (c *readerV2) templates(call *Call, p PathV2, r *http.Request) error {
	call.Raw.Managed = &Managed{Method: r.Method, Path: p.Path, Route: p.Route}
	ofFragments := strings.Contains(p.Route, segmentFragments)
	known := newTemplateV2
	switch one := strings.HasSuffix(p.Route, "}"); {
	case r.Method == http.MethodDelete, r.Method == http.MethodGet && one:
		return nil // what else comes with them is nobody's
	case r.Method == http.MethodGet:
		return c.page(call.Raw.Managed, r.URL.RawQuery)
	case ofFragments && one:
		known = changedFragmentV2
	case ofFragments:
		known = newFragmentV2
	case one:
		known = changedTemplateV2
	}
	o, err := c.members(r, known)
	if err == nil {
		call.Raw.Body = string(o.write(nil, known, nil))
	}
	return err
}

// page reads which part of a list is asked for.
func (c *readerV2) page(m *Managed, query string) error {
	if len(query) > MaxQuery {
		return Refuse(QueryTooLong, "")
	}
	values, err := url.ParseQuery(query)
	switch {
	case err != nil:
		return Refuse(Undecodable, "the query")
	case len(values) > MaxParameters:
		return Refuse(TooManyParameters, "")
	}
	asked := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		all := slices.Compact(slices.Sorted(slices.Values(values[name])))
		switch {
		case isCredential(name):
		case name != "page" && name != "page_size":
			if c.strict {
				return Refuse(UnknownParameter, name)
			}
			c.ignored = append(c.ignored, showName(name))
		case len(all) > 1:
			return Refuse(RepeatedParameter, name)
		case all[0] != "":
			n, err := strconv.ParseUint(all[0], 10, 31)
			if err != nil || name == "page_size" && n > maxPageSize {
				return Refuse(InvalidParameter, name)
			}
			asked.Set(name, strconv.FormatUint(n, 10))
		}
	}
	m.Query = asked.Encode()
	return nil
}

// readLines returns a text that may have more than one line, as messages have.
func readLines(value jsontext.Value) (jsontext.Value, bool) {
	text, ok := scalar(value, kindText)
	oneLine := strings.NewReplacer("\r\n", " ", "\n", " ").Replace(text)
	return jsontext.Value(text), ok && kindText.fits(oneLine)
}
