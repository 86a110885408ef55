package sandbox

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
)

// manyRoot holds the answer to a search by request_ids.
const manyRoot = "verification_requests"

// answer is what Verify says, before it is written as JSON or XML.
type answer struct {
	root      string // the name of the XML root
	fields    object
	requestID string // for the record
	code      string // of a message just sent, for the log

	// What only answers of v2 have.
	httpStatus int    // 0 for 200
	media      string // "" for that of the format
	empty      bool   // no body at all
	outcome    string // what stands for a status
}

// codeHTTP is the HTTP status of the answer.
func (a *answer) codeHTTP() int { return cmp.Or(a.httpStatus, http.StatusOK) }

// object is a list of fields in the order in which they are written.
type object []field

// field is a text, or a list of objects if list is not nil, or JSON as it is if raw is not "".
type field struct {
	name    string
	value   string
	raw     string
	list    []object
	single  bool // in JSON the list is its first object
	xmlOnly bool
}

// refusal is the answer with a status other than 0. Without a text it has the
// documented one, which may name the request_id. A forced status 10 is about a
// verification that nobody knows.
func refusal(operation, status, requestID, text string) answer {
	starts := operation == "request" || operation == "psd2"
	if starts && status == "10" && requestID == "" {
		requestID = newRequestID()
	}
	if text == "" {
		text = errorText(operation, status, requestID)
	}
	a := answer{root: "verify_response", requestID: requestID}
	if operation == "control" {
		a.root = "response"
	}
	switch {
	case starts && status == "10", operation == "check" && status == "16":
		a.fields = object{{name: "request_id", value: requestID}}
	case starts && status == "7":
		a.fields = object{{name: "network", value: "25503"}}
	case operation == "search" && status == "6":
		a.fields = object{{name: "request_id"}}
	case operation == "search" && status == "101":
		a.fields = object{{name: "request_id", xmlOnly: true}}
	}
	a.fields = append(a.fields, field{name: "status", value: status}, field{name: "error_text", value: text})
	return a
}

func missing(operation, name string) answer {
	return refusal(operation, "2", "", "Your request is incomplete and missing the mandatory parameter: "+name)
}

func invalidValue(operation, name string) answer {
	if name == "number" {
		return refusal(operation, "3", "", "Invalid value for number")
	}
	return refusal(operation, "3", "", "Invalid value for param: "+name)
}

// first is the object that carries the status: the answer itself or, of many
// verifications, the first.
func (a *answer) first() *object {
	if len(a.fields) == 1 && len(a.fields[0].list) > 0 {
		return &a.fields[0].list[0]
	}
	return &a.fields
}

// status is "" where the answer as a whole has none.
func (a *answer) status() string {
	if a.outcome != "" {
		return a.outcome
	}
	for _, f := range a.fields {
		if f.name == "status" {
			return f.value
		}
	}
	return ""
}

// prepend adds fields that no documented answer has.
func (a *answer) prepend(fields ...field) {
	o := a.first()
	*o = append(fields, *o...)
}

func contentType(format string) string {
	if format == "xml" {
		return "text/xml"
	}
	return "application/json"
}

func (a *answer) encode(format string) []byte {
	var b bytes.Buffer
	if format == "xml" {
		b.WriteString(xml.Header)
		b.WriteString("<" + a.root + ">")
		a.fields.writeXML(&b, a.root)
		b.WriteString("</" + a.root + ">\n")
	} else {
		a.fields.writeJSON(&b)
		b.WriteByte('\n') // for a terminal
	}
	return b.Bytes()
}

func (o object) writeJSON(b *bytes.Buffer) {
	b.WriteByte('{')
	comma := ""
	for _, f := range o {
		if f.xmlOnly {
			continue
		}
		b.WriteString(comma + `"` + f.name + `":`)
		comma = ","
		if f.raw != "" {
			b.WriteString(f.raw)
			continue
		}
		if f.list == nil {
			text, _ := json.Marshal(f.value) // a string always marshals
			b.Write(text)
			continue
		}
		if f.single {
			f.list[0].writeJSON(b)
			continue
		}
		b.WriteByte('[')
		for i, item := range f.list {
			if i > 0 {
				b.WriteByte(',')
			}
			item.writeJSON(b)
		}
		b.WriteByte(']')
	}
	b.WriteByte('}')
}

// writeXML writes the content of the element parent. A list of that very name
// is its content; any other list has an element of its own.
func (o object) writeXML(b *bytes.Buffer, parent string) {
	for _, f := range o {
		own := f.name != parent
		if own && f.value == "" && len(f.list) == 0 {
			b.WriteString("<" + f.name + " />")
			continue
		}
		if own {
			b.WriteString("<" + f.name + ">")
		}
		_ = xml.EscapeText(b, []byte(f.value)) // a Buffer does not fail
		item := strings.TrimSuffix(f.name, "s")
		if f.name == manyRoot {
			item = "verify_request"
		}
		for _, o := range f.list {
			b.WriteString("<" + item + ">")
			o.writeXML(b, item)
			b.WriteString("</" + item + ">")
		}
		if own {
			b.WriteString("</" + f.name + ">")
		}
	}
}

// errorText is the documented text of a status.
func errorText(operation, status, requestID string) string {
	const unable = "The Vonage platform was unable to process this message for the following reason: "
	switch operation + " " + status {
	case "request 3", "psd2 3":
		return "Invalid value for number"
	case "request 4", "psd2 4":
		return "Invalid credentials were provided"
	case "request 6", "psd2 6":
		return unable + "The request could not be routed."
	case "check 6":
		return unable + "Request '" + requestID + "' was not found or it has been verified already."
	case "search 6":
		return unable + "Wrong parameters."
	case "control 6":
		return "The requestId '" + requestID + "' does not exist or its no longer active."
	}
	switch status {
	case "1":
		return "Throttled"
	case "2":
		return "Missing api_key"
	case "3":
		return "Invalid value for param: request_id"
	case "4":
		return "Bad credentials"
	case "5":
		return "Internal Error"
	case "7":
		return "The number you are trying to verify is blacklisted for verification"
	case "8":
		return "The api_key you supplied is for an account that has been barred from submitting messages."
	case "9":
		return "Partner quota exceeded"
	case "10":
		return "Concurrent verifications to the same number are not allowed"
	case "15":
		return "The destination number is not in a supported network"
	case "16":
		return "The code provided does not match the expected value"
	case "17":
		return "The wrong code was provided too many times. Request terminated"
	case "18":
		return "Too many request_ids provided"
	case "19":
		return "No more events are left to execute for the request ['" + requestID + "']"
	case "20":
		return "This account does not support the parameter: pin_code."
	case "29":
		return "Your Vonage account is still in demo mode. While in demo mode you must add target numbers to the approved list for your account. Add funds to your account to remove this limitation."
	case "101":
		return "No response found"
	}
	return "Status " + status + " has no documented text"
}
