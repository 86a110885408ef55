package sandbox

import (
	"net/netip"
	"strings"
	"time"
)

const (
	maxRequestIDs = 10
	cancelAfter   = 30 * time.Second
)

// The operations. Their callers hold s.mu.

func (s *Sandbox) request(c call) answer {
	if name := c.missing("number", "brand"); name != "" {
		return missing(c.operation, name)
	}
	return s.start(c)
}

func (s *Sandbox) psd2(c call) answer {
	if name := c.missing("number", "payee", "amount"); name != "" {
		return missing(c.operation, name)
	}
	return s.start(c)
}

// start begins the verification that a call asks for.
func (s *Sandbox) start(c call) answer {
	o, invalid := c.options()
	if invalid != "" {
		return invalidValue(c.operation, invalid)
	}
	fixed := s.cfg.Code
	if o.pinCode != "" {
		if !s.cfg.AllowPinCode {
			return refusal(c.operation, "20", "", "")
		}
		fixed = o.pinCode
	}
	if status := forcedStatus(o.number); status != "" {
		return refusal(c.operation, status, "", "")
	}
	now := s.clock.now()
	if v := s.verifications.running(recipient{V1, o.number}, now); v != nil {
		return refusal(c.operation, "10", v.id, "")
	}
	v := start(o, fixed, now)
	s.verifications.add(v, now)
	a := answer{root: "verify_response", requestID: v.id, code: v.code}
	a.fields = object{{name: "request_id", value: v.id}, {name: "status", value: "0"}}
	return a
}

func (s *Sandbox) check(c call) answer {
	if name := c.missing("request_id", "code"); name != "" {
		return missing(c.operation, name)
	}
	id, code := c.get("request_id"), c.get("code")
	if !isRequestID(id) {
		return invalidValue(c.operation, "request_id")
	}
	if !isCode(code) {
		return invalidValue(c.operation, "code")
	}
	now := s.clock.now()
	v := s.verifications.find(id, now)
	if v == nil || v.state != inProgress {
		return refusal(c.operation, "6", id, "")
	}
	ip := c.get("ip_address")
	if _, err := netip.ParseAddr(ip); err != nil {
		ip = ""
	}
	if status := v.try(code, ip, now); status != "0" {
		return refusal(c.operation, status, id, "")
	}
	a := answer{root: "verify_response", requestID: id}
	a.fields = object{
		{name: "request_id", value: id},
		{name: "status", value: "0"},
		{name: "event_id", value: v.events[len(v.events)-1].id},
		{name: "price", value: v.price()},
		{name: "currency", value: "EUR"},
		{name: "estimated_price_messages_sent", value: v.estimate(now)},
	}
	return a
}

func (s *Sandbox) search(c call) answer {
	now := s.clock.now()
	if id := c.get("request_id"); id != "" {
		if !isRequestID(id) {
			return invalidValue(c.operation, "request_id")
		}
		v := s.verifications.find(id, now)
		if v == nil {
			return refusal(c.operation, "101", id, "")
		}
		return answer{root: "verify_request", requestID: id, fields: s.details(c, v, now)}
	}

	ids := c.params["request_ids"]
	switch {
	case strings.Join(ids, "") == "":
		return refusal(c.operation, "6", "", "")
	case len(ids) > maxRequestIDs:
		return refusal(c.operation, "18", "", "")
	}
	found := []object{}
	seen := map[string]bool{}
	for _, id := range ids {
		if !isRequestID(id) {
			return invalidValue(c.operation, "request_ids")
		}
		if v := s.verifications.find(id, now); v != nil && !seen[id] {
			found = append(found, s.details(c, v, now))
		}
		seen[id] = true
	}
	if len(found) == 0 {
		return refusal(c.operation, "101", "", "")
	}
	return answer{root: manyRoot, fields: object{{name: manyRoot, list: found}}}
}

// details are what Verify Search tells of a verification.
func (s *Sandbox) details(c call, v *verification, now time.Time) object {
	checks, events := make([]object, 0, len(v.checks)), make([]object, 0, len(v.events))
	for _, c := range v.checks {
		checks = append(checks, object{
			{name: "date_received", value: date(c.at)},
			{name: "code", value: c.code},
			{name: "status", value: c.status},
			{name: "ip_address", value: c.clientIPAddress},
		})
	}
	for _, e := range v.events {
		events = append(events, object{{name: "id", value: e.id}, {name: "type", value: e.kind}})
	}
	return object{
		{name: "request_id", value: v.id},
		{name: "account_id", value: c.apiKey},
		{name: "number", value: v.number},
		{name: "sender_id", value: v.senderID},
		{name: "date_submitted", value: date(v.submitted)},
		{name: "date_finalized", value: date(v.finalized)},
		{name: "checks", list: checks},
		{name: "first_event_date", value: date(v.events[0].at)},
		{name: "last_event_date", value: date(v.events[len(v.events)-1].at)},
		{name: "price", value: v.price()},
		{name: "currency", value: "EUR"},
		{name: "status", value: v.state},
		{name: "estimated_price_messages_sent", value: v.estimate(now)},
		{name: "events", list: events},
	}
}

func date(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.DateTime)
}

func (s *Sandbox) control(c call) answer {
	if c.get("request_id") == "" && c.get("cmd") == "" {
		return refusal(c.operation, "2", "", "Missing mandatory parameter")
	}
	if name := c.missing("request_id", "cmd"); name != "" {
		return missing(c.operation, name)
	}
	id, cmd := c.get("request_id"), c.get("cmd")
	if !isRequestID(id) {
		return invalidValue(c.operation, "request_id")
	}
	if cmd != "cancel" && cmd != "trigger_next_event" {
		return invalidValue(c.operation, "cmd")
	}
	now := s.clock.now()
	v := s.verifications.find(id, now)
	if v == nil || v.state != inProgress {
		return refusal(c.operation, "6", id, "")
	}
	a := answer{root: "response", requestID: id}
	a.fields = object{{name: "status", value: "0"}, {name: "command", value: cmd}}
	switch {
	case cmd == "trigger_next_event" && v.left() == 0:
		return refusal(c.operation, "19", id, "")
	case cmd == "trigger_next_event":
		v.send(now)
		a.code = v.code
	case len(v.events) > 1:
		return refusal(c.operation, "19", id, "Verification request  ['"+id+"'] can't be cancelled now. Too many attempts to re-deliver have already been made.")
	case now.Sub(v.submitted) < cancelAfter:
		return refusal(c.operation, "19", id, "Verification request ['"+id+"'] can't be cancelled within the first 30 seconds.")
	default:
		v.finish(cancelled, now)
	}
	return a
}
