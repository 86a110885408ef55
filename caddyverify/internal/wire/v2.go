package wire

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Raw is what a call has that a client has made of version 2 of the API by itself. What it is
// about stands in the Call's parameters by the names of version 1, so that all that is done for
// calls is done for it; they are not sent. A request has number (if any message goes to one),
// brand and pin_code; a check request_id and code; a control request_id and cmd. A request_id is
// as Spelling writes it, so that a verification is the same one by either version.
type Raw struct {
	// Body is the JSON that is sent, written anew; "" for none.
	Body string
	// Workflow are the messages of a request, and Wait the time for each.
	Workflow []Message
	Wait     time.Duration
	// Managed is set where the call is about templates.
	Managed *Managed
}

// Message is one of a workflow of version 2.
type Message struct {
	Channel string
	// To is a phone number in E.164, as digits, or an e-mail address. From is "" for the default.
	To, From string
}

// Numbers are the phone numbers that the workflow goes to, each once, with how many messages.
func (r *Raw) Numbers() (numbers []string, messages map[string]int) {
	messages = map[string]int{}
	for _, m := range r.Workflow {
		if strings.Contains(m.To, "@") {
			continue
		}
		if messages[m.To]++; messages[m.To] == 1 {
			numbers = append(numbers, m.To)
		}
	}
	return numbers, messages
}

// CurrencyV2 is that of the price in webhooks of version 2, which is the total cost in EUR by the provider's
// com.vonage.client.verify2.VerificationCallback.
const CurrencyV2 = "EUR"

// pathV2 is where version 2 of the API begins.
const pathV2 = "/v2/verify"

// Routes of version 2.
const (
	routeV2Start = pathV2
	routeV2Check = pathV2 + "/{request_id}" // and cancel, by DELETE
	routeV2Next  = pathV2 + "/{request_id}/next_workflow"
)

// IsV2 tells whether a path is one of version 2 of the API, in any spelling that Caddy's matcher
// takes for it, as IsOurs does for version 1.
func IsV2(path string) bool {
	if _, _, isV1 := ParsePath(path); isV1 { // as nearly all are
		return false
	}
	under := func(path string) bool { return path == pathV2 || strings.HasPrefix(path, pathV2+"/") }
	return under(path) || under(fold(path)) || under(clean(path))
}

// PathV2 is what a path of version 2 names.
type PathV2 struct {
	Operation Operation
	RequestID string // as Spelling writes it
	Cmd       string // of a control, as version 1 has it
	Route     string // the path, with the id left open
	Path      string // of templates: the path as it is sent
}

// ParsePathV2 finds the call of version 2 that a method and a path name. found tells that there
// is one by the path; the fault then is about the method. As in version 1 a row of slashes counts
// as one; else only the exact paths are calls, and that of the start with a slash at its end, as
// an SDK has it. Those of templates are calls where templates is set.
func ParsePathV2(method, path string, templates bool) (p PathV2, found bool, fault *Fault) {
	p, allowed := matchV2(path, templates)
	if allowed == nil {
		return p, false, noSuchPathV2(path, templates)
	}
	if !slices.Contains(allowed, method) {
		return p, true, &Fault{Cause: MethodNotAllowed, Name: method, Allow: strings.Join(allowed, ", ")}
	}
	if p.Operation == Check && method == http.MethodDelete {
		p.Operation, p.Cmd = Control, "cancel"
	}
	return p, true, nil
}

// matchV2 returns the call of a path with its methods, of which it takes the first; none where
// there is no such path.
func matchV2(path string, templates bool) (p PathV2, methods []string) {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	rest, ok := strings.CutPrefix(path, pathV2)
	if ok && (rest == "" || rest == "/") {
		return PathV2{Operation: Request, Route: routeV2Start}, []string{http.MethodPost}
	}
	rest, below := strings.CutPrefix(rest, "/")
	id, last, more := strings.Cut(rest, "/")
	switch {
	case ok && below && id == segmentTemplates && templates:
		return matchTemplates(rest)
	case !ok || !below || !isUUID(id):
	case !more:
		return PathV2{Operation: Check, RequestID: Spelling(id), Route: routeV2Check}, []string{http.MethodPost, http.MethodDelete}
	case last == "next_workflow":
		return PathV2{Operation: Control, RequestID: Spelling(id), Cmd: "trigger_next_event", Route: routeV2Next}, []string{http.MethodPost}
	}
	return p, nil
}

// noSuchPathV2 is what to say of a path of version 2 that is no call's.
func noSuchPathV2(path string, templates bool) *Fault {
	folded := fold(path)
	if p, methods := matchV2(folded, templates); methods != nil {
		return Refuse(MisspelledPath, p.Route)
	}
	first, after, _ := strings.Cut(strings.TrimPrefix(folded, pathV2+"/"), "/")
	switch {
	case first == "network-unblock":
		return Refuse(NetworkUnblockOff, "")
	case first == segmentTemplates && !templates:
		return Refuse(TemplatesOff, "")
	case after == "silent-auth/redirect":
		return Refuse(SilentAuthRedirect, "")
	case isUUID(first) && lettersOf(after) == lettersOf("next_workflow"):
		return Refuse(MisspelledPath, routeV2Next)
	}
	return Refuse(UnknownPath, "")
}

// isUUID tells a request_id of version 2, or the same as version 1 has it.
func isUUID(id string) bool {
	digits := id
	if len(id) == 36 && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' {
		digits = id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]
	}
	return len(digits) == 32 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// UUID is a request_id as version 2 has it, or "" for what can be none. Version 1's are the same
// without the dashes.
func UUID(requestID string) string {
	digits := Spelling(requestID)
	if !isUUID(digits) {
		return ""
	}
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

// redactV2 is what may be shown of a path of version 2: the API's own words and request_ids.
func redactV2(path string) string {
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		switch segment {
		case "", "v2", "verify", "next_workflow", segmentTemplates, segmentFragments, "silent-auth", "redirect", "network-unblock":
		default:
			if segments[i] = redacted; isUUID(segment) {
				segments[i] = RedactID(segment)
			}
		}
	}
	return strings.Join(segments, "/")
}
