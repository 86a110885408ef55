package v2

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// problem is what an error of Verify v2 says (RFC 9457). The zero problem is none.
type problem struct {
	title, detail string
	// slug is the last part of type, after #. What is before it differs between the documents
	// and what was recorded, and type may be missing: it is looked at after the HTTP code and
	// the operation, and with the detail.
	slug string
	// requestID is the verification that a conflict is about, where it is told.
	requestID string
	// invalid are the parameters named, by the last part of their paths.
	invalid []string
	// required tells that the first of them is missing.
	required bool
}

// readProblem reads what may be a problem. What a framework says of a path that it does not
// have is none, since it is not about a verification.
func readProblem(body []byte) (p problem, ok bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return p, false
	}
	p.title, p.detail, p.requestID = text(members["title"]), text(members["detail"]), text(members["request_id"])
	if p.title == "" && p.detail == "" || p.says("no static resource") {
		return problem{}, false
	}
	_, p.slug, _ = strings.Cut(text(members["type"]), "#")
	p.readInvalid(members["invalid_parameters"])
	return p, true
}

func text(value json.RawMessage) (s string) {
	if len(value) == 0 || json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// readInvalid reads invalid_parameters: a list of names and reasons by the document; an object
// by an SDK's example, with one of these or with names for its members.
func (p *problem) readInvalid(value json.RawMessage) {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) == nil {
		for _, one := range list {
			if !p.addNamed(one) {
				p.add(text(one), "")
			}
		}
		return
	}
	var members map[string]json.RawMessage
	if p.addNamed(value) || json.Unmarshal(value, &members) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !p.addNamed(members[name]) {
			p.add(name, text(members[name]))
		}
	}
}

// addNamed adds an object with a name and a reason.
func (p *problem) addNamed(value json.RawMessage) bool {
	var one map[string]json.RawMessage
	if json.Unmarshal(value, &one) != nil || text(one["name"]) == "" {
		return false
	}
	p.add(text(one["name"]), text(one["reason"]))
	return true
}

// maxInvalid is how many names are read. Real ones are one or two.
const maxInvalid = 16

// add adds a name by its last part: workflow[0].to, workflow.0.to and /workflow/0/to are the same.
func (p *problem) add(name, reason string) {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) })
	if len(parts) == 0 || len(p.invalid) == maxInvalid {
		return
	}
	if len(p.invalid) == 0 {
		reason = strings.ToLower(reason)
		p.required = strings.Contains(reason, "is required") || strings.Contains(reason, "missing")
	}
	p.invalid = append(p.invalid, parts[len(parts)-1])
}

// says tells whether the problem has one of the words, in whatever case: in its slug, which has
// dashes for blanks, its title or its detail.
func (p *problem) says(words ...string) bool {
	all := strings.ToLower(strings.ReplaceAll(p.slug, "-", " ") + "\n" + p.title + "\n" + p.detail)
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(all, word) })
}
