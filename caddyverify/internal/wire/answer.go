package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxAnswer is the largest answer taken from the provider, in bytes. Real ones
// are under 10 KiB.
const MaxAnswer = 1 << 20

// maxDepth is how deep an answer may be nested; real ones are four levels deep.
const maxDepth = 32

// Answer is what goes back to the client, wherever it came from.
type Answer struct {
	// Code is the HTTP status code.
	Code int
	// ContentType is the Content-Type as it is sent.
	ContentType string
	// Relabelled tells that the upstream's own Content-Type was missing or another.
	Relabelled bool
	// Body is sent as it is.
	Body []byte
	// Reading is what Body says.
	Reading
	// Fault is set where the gateway itself wrote the answer.
	Fault *Fault
	// Unsure tells of the provider's own answer that it does not say whether the call was acted
	// on, as HTTP 500 to a call of version 2 does not.
	Unsure bool
}

// InDoubt tells that nobody knows whether the provider has acted on the call.
func (a *Answer) InDoubt() bool { return a.Unsure || a.Fault != nil && a.Fault.MayHaveSent }

// Reading is what an answer of the API says.
type Reading struct {
	// Verification is the answer as a whole. A list has no status of its own.
	Verification
	// Found holds the verifications that a search found: one, or those of a list.
	Found []*Verification
	// List tells that the answer was a list (verification_requests).
	List bool
}

// Verification is what an answer says about one verification.
type Verification struct {
	RequestID string
	Status    Status
	// Price and EstimatedPrice are decimal numbers as text, in Currency.
	Price, EstimatedPrice, Currency string
	// PriceFinal tells that the Price is all that the verification costs. No answer of the API says so.
	PriceFinal bool
	// Network is the mobile network's code (MCCMNC), where the API tells it.
	Network string
	// Raw is the part of the answer's own bytes that tells all this: a JSON object
	// or an XML element.
	Raw []byte
}

// set takes in a member of the object or element, which the caller has made sure
// is there once. It reports false for a status that cannot be one, and for a
// member that only some readers take for it.
func (v *Verification) set(name string, value []byte) bool {
	field := v.field(name)
	if field == nil {
		return !isStatus(name)
	}
	*field = string(value)
	return name != "status" || v.Status.readable()
}

// field returns where the value of a member goes, nil for those passed over.
func (v *Verification) field(name string) *string {
	switch name {
	case "request_id":
		return &v.RequestID
	case "status":
		return (*string)(&v.Status)
	case "price":
		return &v.Price
	case "estimated_price_messages_sent":
		return &v.EstimatedPrice
	case "currency":
		return &v.Currency
	case "network":
		return &v.Network
	}
	return nil
}

// isStatus tells whether some reader takes the member for the status:
// encoding/json, which the Go SDKs use, does not care about case.
func isStatus(name string) bool { return strings.EqualFold(name, "status") }

var errUnreadable = errors.New("not an answer of the Verify API")

// Read checks an answer of the provider and tells what it says, by its bytes alone:
// a stub or a proxy may call it anything. The error is a *Fault with
// AnswerUnreadable where the body is not what was asked for: malformed, nested too
// deep, without a status or with two, or with a word for a status where only a
// search has words.
func Read(o Operation, f Format, body []byte) (Reading, error) {
	read := readJSON
	if f == XML {
		read = readXML
	}
	reading, err := read(body)
	if err != nil {
		return Reading{}, Unreadable(WhatCame(f, body), err)
	}
	if reading.List || !reading.Status.Numeric() {
		if o != Search {
			return Reading{}, Unreadable(ReasonNotVerify, errUnreadable)
		}
		// What a search finds is told by a word; a number is about the call.
		if !reading.List {
			v := reading.Verification
			reading.Found = []*Verification{&v}
		}
	}
	return reading, nil
}

// AboutAnother tells an answer that names another verification than the call is about,
// or a list without that one. Other answers need not name any, and a list may name
// those that others asked for.
func (r *Reading) AboutAnother(call *Call) bool {
	asked := call.RequestID()
	if ids, list := call.IDs(); len(ids) == 1 && !list {
		asked = ids[0]
	}
	if asked == "" {
		return false
	}
	if r.List {
		return !slices.ContainsFunc(r.Found, func(v *Verification) bool { return Spelling(v.RequestID) == Spelling(asked) })
	}
	return r.RequestID != "" && Spelling(r.RequestID) != Spelling(asked)
}

// Unreadable makes the Fault for what is no answer.
func Unreadable(reason Reason, err error) *Fault {
	return &Fault{Cause: AnswerUnreadable, Reason: reason, MayHaveSent: true, Err: err}
}

// WhatCame tells an operator what came in place of an answer.
func WhatCame(f Format, body []byte) Reason {
	body = bytes.TrimSpace(body)
	start := strings.ToLower(string(body[:min(len(body), len("<!doctype html"))]))
	switch {
	case len(body) == 0:
		return ReasonEmpty
	case strings.HasPrefix(start, "<html"), start == "<!doctype html":
		return ReasonWebPage
	case f == JSON && jsontext.Value(body).IsValid(), f == XML && isXML(body):
		return ReasonNotVerify
	}
	return ReasonMalformed
}

// IsMediaType accepts what the API's documents have ever named for a format:
// version 1.0.0 has text/plain in place of text/xml.
func IsMediaType(f Format, contentType string) bool {
	media, _, err := parseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "text/plain":
		return true
	case "application/json":
		return f == JSON
	case "text/xml", "application/xml":
		return f == XML
	}
	return false
}

// Say writes the answer to a fault in the API's own shape. useHTTP chooses HTTP
// status codes for faults which the API would report with HTTP 200.
func Say(fault *Fault, o Operation, f Format, useHTTP bool) Answer {
	if f == V2 {
		return sayV2(fault)
	}
	wording := wordings[fault.Cause]
	code := http.StatusOK
	if wording.always || useHTTP {
		code = wording.code
	}
	return Answer{
		Code:        code,
		ContentType: f.ContentType(),
		Body:        errorBody(o, f, fault.RequestID, fault.Status(), fault.Error()),
		Reading:     Reading{Verification: Verification{RequestID: fault.RequestID, Status: fault.Status()}},
		Fault:       fault,
	}
}

// WithoutRequestID is the provider's word that a number is being verified already,
// without the request_id that it names.
func (a *Answer) WithoutRequestID(o Operation, f Format) Answer {
	if f == V2 {
		return Answer{
			Code: http.StatusConflict, ContentType: ProblemJSON, Body: []byte(conflictV2),
			Reading: Reading{Verification: Verification{Status: a.Status}},
		}
	}
	return Answer{
		Code:        a.Code,
		ContentType: a.ContentType,
		Body:        errorBody(o, f, "", a.Status, "Concurrent verifications to the same number are not allowed"),
		Reading:     Reading{Verification: Verification{Status: a.Status}},
	}
}

// Refusal is an answer of the API by which it does not do what it was asked to, written here
// of what a provider has said in another shape. requestID is "" for none, as most have.
func Refusal(o Operation, f Format, status Status, requestID, text string) Answer {
	return Answer{
		Code:        http.StatusOK,
		ContentType: f.ContentType(),
		Body:        errorBody(o, f, requestID, status, text),
		Reading:     Reading{Verification: Verification{RequestID: requestID, Status: status}},
	}
}

// Done is an answer of the API by which it has done what it was asked to, written here in the
// same way. It names the verification of a request or check, and the command of a control.
func Done(call *Call, requestID string) Answer {
	a := Answer{
		Code:        http.StatusOK,
		ContentType: call.Format.ContentType(),
		Reading:     Reading{Verification: Verification{RequestID: requestID, Status: Success}},
	}
	status := field{"status", string(Success)}
	if call.Operation == Control {
		a.RequestID = ""
		a.Body = body(call.Operation, call.Format, status, field{"command", call.Get("cmd")})
	} else {
		a.Body = body(call.Operation, call.Format, field{"request_id", requestID}, status)
	}
	return a
}

const xmlProlog = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

// errorBody says what a status says. requestID is "" for none, as most have.
func errorBody(o Operation, f Format, requestID string, status Status, text string) []byte {
	said := []field{{"request_id", requestID}, {"status", string(status)}, {"error_text", text}}
	if requestID == "" {
		said = said[1:]
	}
	return body(o, f, said...)
}

// field is a member of a JSON object, or an element.
type field struct{ name, value string }

func body(o Operation, f Format, fields ...field) []byte {
	if f == JSON {
		b := make([]byte, 0, 96) // fits most
		for i, said := range fields {
			b = append(b, "{,"[min(i, 1)])
			b = append(appendQuoted(b, said.name), ':')
			b = appendQuoted(b, said.value)
		}
		return append(b, "}\n"...) // for a terminal
	}
	var b bytes.Buffer
	root := "verify_response"
	if o == Control {
		root = "response"
	}
	b.WriteString(xmlProlog + "<" + root + ">")
	for _, said := range fields {
		b.WriteString("<" + said.name + ">")
		_ = xml.EscapeText(&b, []byte(strings.ToValidUTF8(said.value, "?"))) // a bytes.Buffer does not fail
		b.WriteString("</" + said.name + ">")
	}
	b.WriteString("</" + root + ">\n")
	return b.Bytes()
}

func quoted(text string) string { return string(appendQuoted(nil, text)) }

func appendQuoted(b []byte, text string) []byte {
	quoted, err := jsontext.AppendQuote(b, text)
	if err != nil {
		return append(b, `""`...) // only for invalid UTF-8, which no text has
	}
	return quoted
}
