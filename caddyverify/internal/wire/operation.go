package wire

import "strings"

// Operation is one of the four calls of the Verify API.
type Operation uint8

// The operations, in the order of the API's documentation.
const (
	Request Operation = iota // start a verification: sends a message, costs money
	Check                    // try the code a user typed
	Search                   // ask for the state of up to ten verifications
	Control                  // cancel, or trigger the next event
)

// Operations lists all of them.
var Operations = [...]Operation{Request, Check, Search, Control}

// String returns the word used in logs, spans and metrics.
func (o Operation) String() string {
	return [...]string{"request", "check", "search", "control"}[o]
}

// Repeatable tells whether asking twice is the same as asking once. Only a
// search is: the others send a message, use up a try or end a verification.
func (o Operation) Repeatable() bool { return o == Search }

// Format is the notation a client asks for by the last element of the path.
type Format uint8

// The formats of the API.
const (
	JSON Format = iota
	XML
)

// Formats lists both.
var Formats = [...]Format{JSON, XML}

// String returns the format as it is written in paths.
func (f Format) String() string {
	if f == XML {
		return "xml"
	}
	return "json"
}

// ContentType is the media type the API answers with.
func (f Format) ContentType() string {
	if f == XML {
		return "text/xml"
	}
	return "application/json"
}

// Prefix is the path under which all calls of the API are.
const Prefix = "/verify/"

// Path returns the exact path of a call, such as /verify/check/json.
func Path(o Operation, f Format) string {
	if o == Request {
		return Prefix + f.String()
	}
	return Prefix + o.String() + "/" + f.String()
}

// Route returns the path with its format left open, such as
// /verify/check/{format}.
func Route(o Operation) string {
	if o == Request {
		return Prefix + "{format}"
	}
	return Prefix + o.String() + "/{format}"
}

// ParsePath finds the call that a path names. Only the eight exact paths are
// calls: nothing is decoded, cleaned or lower-cased, so that no spelling of a
// path can reach another part of the provider's API.
func ParsePath(path string) (Operation, Format, bool) {
	rest, ok := strings.CutPrefix(path, Prefix)
	if !ok {
		return 0, 0, false
	}
	operation := Request
	if word, after, found := strings.Cut(rest, "/"); found {
		switch word {
		case "check":
			operation = Check
		case "search":
			operation = Search
		case "control":
			operation = Control
		default:
			return 0, 0, false
		}
		rest = after
	}
	switch rest {
	case "json":
		return operation, JSON, true
	case "xml":
		return operation, XML, true
	}
	return 0, 0, false
}
