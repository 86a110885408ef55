package sandbox

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Call is one call that the sandbox has seen.
type Call struct {
	// Time is when it had come in whole, in real time.
	Time time.Time

	// API is v1 or v2.
	API string

	// Operation is request, check, search, control or psd2, and "" for any other path.
	// In v2 a start is a request, a cancellation or next_workflow a control; beyond
	// these there are templates and unblock.
	Operation string

	// Format is json or xml, and "" for any other path.
	Format string

	// Method is the HTTP method.
	Method string

	// URI is the path and query as they were sent.
	URI string

	// Header holds all header fields but Host, as net/http gives them.
	Header http.Header

	// Params are the parameters of query, form and JSON body, with any
	// credentials among them.
	Params url.Values

	// Credentials are the places where an api_key or api_secret was found, in
	// this order: basic, query, and form or json; in v2 basic or bearer.
	Credentials []string

	// APIKey is the api_key presented, "" for none. Of several it is that of
	// the first place.
	APIKey string

	// Fault is the kind of fault that took the call, "" for none; a delay
	// with another is written delay+other.
	Fault string

	// HTTPStatus is the HTTP status answered, 0 where the connection is left
	// without an answer.
	HTTPStatus int

	// Status is Verify's own status: that of the answer or, if a fault keeps
	// the answer back or spoils it, of the work done. It is "" if the work
	// was not done or the answer has no single status. In v2 it is 0 for what
	// succeeds, and otherwise what the problem is, such as invalid-code.
	Status string

	// RequestID is the request_id that was started or asked about, "" for
	// none or several.
	RequestID string

	// Code is the right code in the message that the call had sent, "" for none.
	Code string
}

func newCall(c call, r *http.Request) Call {
	return Call{
		Time:        time.Now(),
		API:         c.api,
		Operation:   c.operation,
		Format:      c.format,
		Method:      r.Method,
		URI:         r.RequestURI,
		Header:      r.Header.Clone(),
		Params:      c.params,
		Credentials: c.places,
		APIKey:      c.apiKey,
	}
}

// record keeps the latest calls, as a ring once it is full.
type record struct {
	keep     int
	calls    []Call
	oldest   int
	received map[string]int // by operation, the forgotten ones too
}

func (r *record) add(c Call) {
	r.received[c.Operation]++
	switch {
	case r.keep < 0:
	case len(r.calls) < r.keep:
		r.calls = append(r.calls, c)
	default:
		r.calls[r.oldest] = c
		r.oldest = (r.oldest + 1) % r.keep
	}
}

// Calls returns the calls seen since [New] or [Sandbox.Reset], oldest first;
// no more than the latest Config.Record of them. The headers and parameters in
// it must not be changed.
func (s *Sandbox) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.record.calls[s.record.oldest:], s.record.calls[:s.record.oldest])
}

// Accepted is how many verifications were started since [New] or
// [Sandbox.Reset]: each has sent, and cost, at least one message.
func (s *Sandbox) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.verifications.accepted
}

// Verification is what a test may want to know of one verification. The times
// are by the sandbox's clock, in UTC.
type Verification struct {
	API       string // v1 or v2
	RequestID string
	Number    string    // E.164 without the plus
	Brand     string    // as requested; "" for psd2
	Payee     string    // the same of psd2
	Amount    string    // the same
	ClientRef string    // of v2
	Status    string    // IN PROGRESS, SUCCESS, FAILED, EXPIRED or CANCELLED
	Code      string    // the right code at present
	Events    []string  // the messages sent so far, each sms or tts; in v2 the channels
	Submitted time.Time // when the request came
	Finalized time.Time // when it ended; zero while it is IN PROGRESS
}

// Verification looks a verification up. ok is false if there is none with
// this request_id, or no longer.
func (s *Sandbox) Verification(requestID string) (v Verification, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.verifications.find(requestID, s.clock.now())
	if found == nil {
		return Verification{}, false
	}
	return found.snapshot(), true
}

// Verifications returns all verifications that are remembered, oldest first.
func (s *Sandbox) Verifications() []Verification {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	all := make([]Verification, 0, len(s.verifications.order))
	for _, v := range s.verifications.order {
		if s.verifications.find(v.id, now) != nil {
			all = append(all, v.snapshot())
		}
	}
	return all
}

func (v *verification) snapshot() Verification {
	events := make([]string, len(v.events))
	for i, e := range v.events {
		events[i] = e.kind
	}
	return Verification{
		API: v.api, ClientRef: v.clientRef,
		RequestID: v.id, Number: v.number, Brand: v.brand, Payee: v.payee, Amount: v.amount, Status: v.state, Code: v.code,
		Events: events, Submitted: v.submitted, Finalized: v.finalized,
	}
}
