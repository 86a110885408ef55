package sandbox

// The operations of v2 on a verification that has begun. Their callers hold s.mu.

// runningV2 is a verification that is under way, or the problem that it is not.
func (s *Sandbox) runningV2(id string) *verification {
	v := s.verifications.find(id, s.clock.now())
	if v == nil || v.api != V2 || v.state != inProgress {
		return nil
	}
	return v
}

func (s *Sandbox) checkV2(c call) answer {
	b, ok := readObject(c.v2.body)
	if !ok {
		return s.problem(unreadable)
	}
	code, token := b.text("code", codePattern), b.text("token", nil)
	if code == "" && token == "" && len(*b.invalid) == 0 {
		b.refuse("code", "The code is required.")
	}
	if len(*b.invalid) > 0 {
		return s.problem(invalidParams(*b.invalid...))
	}
	v := s.runningV2(c.v2.id)
	switch {
	case v == nil:
		return s.problem(notFound(c.v2.id))
	case code == "":
		return s.problem(wrongCode) // no handset has been given a token
	case v.events[len(v.events)-1].kind == "silent_auth":
		return s.problem(noCode)
	}
	switch v.try(code, "", s.clock.now()) {
	case "0":
		a := answer{outcome: "0", requestID: v.id}
		a.fields = object{{name: "request_id", value: v.id}, {name: "status", value: "completed"}}
		return a
	case "16":
		return s.problem(wrongCode)
	}
	return s.problem(terminated)
}

// cancelV2 refuses too early and too late with the same words as an unknown id: no
// other refusal is documented.
func (s *Sandbox) cancelV2(c call) answer {
	now := s.clock.now()
	v := s.runningV2(c.v2.id)
	if v == nil || len(v.events) > 1 || now.Sub(v.submitted) < cancelAfter {
		return s.problem(notFound(c.v2.id))
	}
	v.finish(cancelled, now)
	return answer{httpStatus: 204, empty: true, outcome: "0", requestID: v.id}
}

func (s *Sandbox) nextV2(c call) answer {
	v := s.runningV2(c.v2.id)
	switch {
	case v == nil:
		return s.problem(notFound(c.v2.id))
	case v.left() == 0 || v.blocked:
		return s.problem(noEvents)
	}
	v.send(s.clock.now())
	return answer{empty: true, outcome: "0", requestID: v.id, code: v.code}
}
