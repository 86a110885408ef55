package wire

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// problemType is where the causes of problems are described; the cause follows.
const problemType = "https://github.com/caddyverify/caddy-verify/blob/main/docs/failures.md#"

// wordingsV2 are those that are other for calls of version 2.
var wordingsV2 = map[Cause]string{
	MethodNotAllowed: "Method %s is not allowed here",
	UnknownPath: "No such call: there are POST /v2/verify, POST and DELETE /v2/verify/{request_id}, where {request_id} is a UUID, " +
		"and POST /v2/verify/{request_id}/next_workflow, and where they are let through those of /v2/verify/templates",
	BodyTooLarge:      "The body is larger than 64 KiB",
	TooManyParameters: "More than 128 members",
	UnknownMediaType:  "Send the body as application/json, without a Content-Encoding",
}

// codeV2 is the HTTP status code for a fault. They are those of `errors http`, but for what is
// wrong with the content of a call: in version 2 a 400 to a check says that the code was wrong.
func (f *Fault) codeV2() int {
	switch f.Cause {
	case MissingParameter, InvalidParameter, UnknownParameter, RepeatedParameter, Undecodable:
		return http.StatusUnprocessableEntity
	case GuardRefused:
		switch f.Status() {
		case Concurrent:
			return http.StatusConflict
		case Throttled:
			return http.StatusTooManyRequests
		}
	}
	return wordings[f.Cause].code
}

// sayV2 writes the answer to a fault as a problem (RFC 9457), as version 2 of the API does.
func sayV2(f *Fault) Answer {
	code := f.codeV2()
	var b strings.Builder
	member := func(name, value string) { b.WriteString(quoted(name) + ":" + quoted(value) + ",") }
	b.WriteString("{")
	member("type", problemType+string(f.Cause))
	member("title", cmp.Or(http.StatusText(code), "Client Closed Request"))
	if f.RequestID != "" {
		member("request_id", cmp.Or(UUID(f.RequestID), f.RequestID))
	}
	switch f.Cause {
	case MissingParameter, InvalidParameter, UnknownParameter, RepeatedParameter:
		b.WriteString(`"invalid_parameters":[{"name":` + quoted(printable(f.Name)) + `,"reason":` + quoted(f.text(wordings[f.Cause].text)) + `}],`)
	}
	b.WriteString(`"detail":` + quoted(f.said(cmp.Or(wordingsV2[f.Cause], wordings[f.Cause].text))) + "}\n")
	return Answer{
		Code:        code,
		ContentType: ProblemJSON,
		Body:        []byte(b.String()),
		Reading:     Reading{Verification: Verification{RequestID: f.RequestID, Status: f.Status()}},
		Fault:       f,
	}
}

// ProblemJSON is the media type of problems.
const ProblemJSON = "application/problem+json"

// conflictV2 says that a number is being verified already, and not by which verification.
var conflictV2 = fmt.Sprintf(`{"title":"Conflict","type":"https://developer.vonage.com/en/api-errors/verify-v2#concurrent","detail":%q}`+"\n",
	"Concurrent verifications to the same number are not allowed.")
