package wire

// Operation is one of the calls of the Verify API.
type Operation uint8

// The operations, in the order of the API's documentation.
const (
	Request Operation = iota // start a verification: sends a message, costs money
	Check                    // try the code a user typed
	Search                   // ask for the state of up to ten verifications
	Control                  // cancel, or trigger the next event
	PSD2                     // start a verification that names a payment, as Request does
	// Templates are those of version 2 that its messages are made of. Calls about them are about no
	// verification and take a way of their own, so they are not among Operations.
	Templates
)

// Operations lists all of them but Templates, which version 1 does not have.
var Operations = [...]Operation{Request, Check, Search, Control, PSD2}

// String returns the word used in logs, spans and metrics.
func (o Operation) String() string {
	return [...]string{"request", "check", "search", "control", "psd2", "templates"}[o]
}

// Starts tells whether the operation starts a verification: it sends a message and
// costs money.
func (o Operation) Starts() bool { return o == Request || o == PSD2 }

// Repeatable tells whether asking twice is the same as asking once. Only a
// search is: the others send a message, use up a try or end a verification.
func (o Operation) Repeatable() bool { return o == Search }

// Format is the notation a client asks for by the last element of the path.
type Format uint8

// The formats of the API.
const (
	JSON Format = iota
	XML
	// V2 is that of calls of version 2 of the API: JSON, with HTTP's codes for an outcome.
	V2
)

// Formats lists those of version 1.
var Formats = [...]Format{JSON, XML}

// Formats lists those that the API has for the operation.
func (o Operation) Formats() []Format {
	if o == PSD2 {
		return Formats[:1]
	}
	return Formats[:]
}

// String returns the format as it is written in paths of version 1, and v2 for that of
// version 2.
func (f Format) String() string { return [...]string{"json", "xml", "v2"}[f] }

// ContentType is the media type the API answers with.
func (f Format) ContentType() string {
	if f == XML {
		return "text/xml"
	}
	return "application/json"
}
