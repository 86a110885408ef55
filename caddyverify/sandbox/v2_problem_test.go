package sandbox

import (
	"regexp"
	"strings"
	"testing"
)

// Numbers force what the provider may answer.
func TestV2Numbers(t *testing.T) {
	const params = "The value of one or more parameters is invalid."
	const credentials = "You did not provide correct credentials."
	for number, want := range map[string]struct {
		code          int
		title, detail string
		status        string // as recorded
	}{
		"447700900101": {429, "Rate Limit Hit", "Please wait, then retry your request", "throttled"},
		"447700900102": {401, "Unauthorized", credentials, "unauthorized"},
		"447700900103": {422, "Invalid params", params, "invalid-params"},
		"447700900104": {401, "Unauthorized", credentials, "unauthorized"},
		"447700900105": {500, "Internal error", "There was an error processing your request in the Platform.", "internal-error"},
		"447700900106": {422, "Invalid params", params, "invalid-params"},
		"447700900108": {403, "Forbidden", "Your account has been suspended.", "account-suspended"},
		"447700900109": {401, "Quota Exceeded", "Quota Exceeded - rejected", "quota-exceeded"},
		"447700900110": {409, "Conflict", "Concurrent verifications to the same number are not allowed.", "concurrent"},
		"447700900115": {422, "Invalid params", params, "invalid-params"},
		"447700900120": {422, "Invalid params", params, "invalid-params"},
		"447700900129": {403, "Forbidden", "Your account is not provisioned to send to this number.", "unprovisioned"},
		"447700900140": {402, "Low balance", "This request could not be performed due to your account balance being low.", "low-balance"},
	} {
		s := newV2(t, Config{})
		wantProblem(t, number, askV2(s, "POST", "/v2/verify", oneStep(number, "")), want.code, want.title, want.detail)
		if got := s.Calls()[0]; got.Status != want.status || got.HTTPStatus != want.code {
			t.Errorf("%s: recorded as %d %s", number, got.HTTPStatus, got.Status)
		}
		if s.Accepted() != 0 {
			t.Errorf("%s has started a verification", number)
		}
	}
	if len(counterpartsOf()) != len(forced)-2 {
		t.Error("a number has no counterpart")
	}
}

// counterpartsOf are the forced statuses with a problem of their own; 7 and 10 have none.
func counterpartsOf() (all []string) {
	for _, status := range forced {
		if _, ok := counterparts[status]; ok {
			all = append(all, status)
		}
	}
	return all
}

// Above the limit v2 answers 429.
func TestV2Limit(t *testing.T) {
	s := newV2(t, Config{Limit: 1})
	beginV2(t, s)
	wantProblem(t, "one more", askV2(s, "POST", "/v2/verify", oneStep("447700900001", "")), 429, "Rate Limit Hit", "Please wait, then retry your request")
}

// Problems come in the spellings on record, one after another.
func TestV2Spellings(t *testing.T) {
	plain := func(body string) string {
		return regexp.MustCompile(`"instance":"[^"]*"`).ReplaceAllString(strings.TrimSpace(body), `"instance":"I"`)
	}
	s := newV2(t, Config{})
	id := beginV2(t, s)
	const conflict = `"detail":"Concurrent verifications to the same number are not allowed.","instance":"I"`
	for i, want := range []string{
		`{"title":"Conflict","type":"https://developer.vonage.com/en/api-errors/verify-v2#concurrent",` + conflict + `,"request_id":"` + id + `"}`,
		`{"title":"Conflict","type":"https://www.developer.vonage.com/api-errors/verify#conflict",` + conflict + `,"request_id":"` + id + `"}`,
		`{"title":"Conflict","type":"https://developer.nexmo.com/api-errors#conflict",` + conflict + `}`,
		`{"title":"Conflict",` + conflict + `,"request_id":"` + id + `"}`,
	} {
		if got := plain(askV2(s, "POST", "/v2/verify", oneStep(testNumber, "")).Body.String()); got != want {
			t.Errorf("conflict %d:\n got %s\nwant %s", i, got, want)
		}
	}
	const invalid = `"detail":"The value of one or more parameters is invalid.","instance":"I"`
	for i, want := range []string{
		`{"title":"Invalid params","type":"https://developer.vonage.com/en/api-errors/verify-v2#invalid-params",` + invalid + `,"invalid_parameters":[{"name":"brand","reason":"Brand is required"}]}`,
		`{"title":"Invalid params","type":"https://www.developer.vonage.com/api-errors/verify#invalid-params",` + invalid + `,"invalid_parameters":{"name":"brand","reason":"Brand is required"}}`,
		`{"title":"Invalid params","type":"https://developer.nexmo.com/api-errors#unprocessable-entity",` + invalid + `,"invalid_parameters":[{"name":"brand","reason":"Brand is required"}]}`,
		`{"title":"Invalid params",` + invalid + `,"invalid_parameters":[{"name":"brand","reason":"Brand is required"}]}`,
	} {
		if got := plain(askV2(s, "POST", "/v2/verify", `{"workflow":[{"channel":"sms","to":"447700900001"}]}`).Body.String()); got != want {
			t.Errorf("refusal %d:\n got %s\nwant %s", i, got, want)
		}
	}
}
