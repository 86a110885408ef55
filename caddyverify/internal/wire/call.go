package wire

import (
	"net/url"
	"strings"
)

// MaxIDs is how many verifications one search may ask for; the API answers
// status 18 to more.
const MaxIDs = 10

// Call is one call of the API in canonical form: however a client sent it, the
// same call comes out. It carries no credentials.
type Call struct {
	Operation Operation
	Format    Format
	// Params holds the parameters that have a value, in the order of the API's
	// documentation. Only request_ids may be there more than once.
	Params []Param
	// Caller is who makes the call, "" for all that nothing is known of. It is not sent.
	Caller string
	// Address is the end user's, where a request or psd2 has ip_address, which the API takes
	// with checks only. It is for the guard, and is not sent.
	Address string
	// Probe tells that the gateway itself makes the call, for a sign of life: a search of what
	// nobody has begun. It is not sent.
	Probe bool
	// Raw is what a call of version 2 (Format V2) has beyond its parameters, nil for others.
	Raw *Raw
}

// Param is one parameter of a call.
type Param struct{ Name, Value string }

// Get returns the value of the parameter, or "" when the call has none.
func (c *Call) Get(name string) string {
	for _, p := range c.Params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// RequestID returns the verification that a check or control is about, and ""
// for other operations.
func (c *Call) RequestID() string {
	if c.Operation == Check || c.Operation == Control {
		return c.Get("request_id")
	}
	return ""
}

// Spelling is one of all those of a request_id that a provider might take for the same: it is
// a UUID, which has no dashes here. Whose a verification is must not depend on how its id is
// written, and a check that is made of another spelling is one of the same verification.
func Spelling(requestID string) string {
	return strings.ToLower(strings.ReplaceAll(requestID, "-", ""))
}

// IDs returns the verifications a search asks for, each once, in the order
// asked. list tells that they came as request_ids, to which the API answers
// with a list even for one.
func (c *Call) IDs() (ids []string, list bool) {
	if c.Operation != Search {
		return nil, false
	}
	ids = make([]string, len(c.Params))
	for i, p := range c.Params {
		ids[i] = p.Value
		list = list || p.Name == "request_ids"
	}
	return ids, list
}

// SearchFor returns the search for ids, as request_ids where list is set.
func SearchFor(f Format, ids []string, list bool) *Call {
	name := "request_id"
	if list {
		name = "request_ids"
	}
	call := &Call{Operation: Search, Format: f, Params: make([]Param, len(ids))}
	for i, id := range ids {
		call.Params[i] = Param{name, id}
	}
	return call
}

// AppendForm appends the parameters as application/x-www-form-urlencoded.
func (c *Call) AppendForm(b []byte) []byte {
	for i, p := range c.Params {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, p.Name...), '='), url.QueryEscape(p.Value)...)
	}
	return b
}

// parameter is one that an operation takes.
type parameter struct {
	name      string
	kind      kind
	mandatory bool
	many      bool // may be repeated
}

// parameters lists what each operation takes: the API's documented parameters
// (version 1.2.4), and two that are no longer documented but still sent:
// require_type, and ip as the PHP SDK spells ip_address.
var parameters = [...][]parameter{
	Request: {
		{name: "number", kind: kindNumber, mandatory: true},
		{name: "brand", kind: kindText, mandatory: true},
		{name: "country"},
		{name: "sender_id", kind: kindText},
		{name: "code_length"},
		{name: "lg"},
		{name: "require_type"},
		{name: "pin_expiry"},
		{name: "next_event_wait"},
		{name: "workflow_id"},
		{name: "pin_code", kind: kindCode},
	},
	Check: {
		{name: "request_id", kind: kindID, mandatory: true},
		{name: "code", kind: kindCode, mandatory: true},
		{name: "ip_address", kind: kindAddress},
		{name: "ip", kind: kindAddress},
	},
	Search: {
		{name: "request_id", kind: kindID},
		{name: "request_ids", kind: kindID, many: true},
	},
	Control: {
		{name: "request_id", kind: kindID, mandatory: true},
		{name: "cmd", mandatory: true},
	},
	PSD2: {
		{name: "number", kind: kindNumber, mandatory: true},
		{name: "payee", kind: kindText, mandatory: true},
		{name: "amount", kind: kindAmount, mandatory: true},
		{name: "country"},
		{name: "code_length"},
		{name: "lg"},
		{name: "pin_expiry"},
		{name: "next_event_wait"},
		{name: "workflow_id"},
	},
}

// isCredential tells the names under which SDKs send credentials. What a client
// calls a credential is dropped: the gateway's own take their place.
func isCredential(name string) bool {
	switch name {
	case "api_key", "api_secret", "sig", "timestamp":
		return true
	}
	return false
}
