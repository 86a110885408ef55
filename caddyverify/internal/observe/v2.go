package observe

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// answerV2 is an HTTP code that version 2 of the API documents, with the slugs of its problems.
type answerV2 struct {
	code  int
	slugs []string
}

var answersV2 = [...]answerV2{
	{200, nil},
	{201, nil},
	{202, nil},
	{204, nil},
	{400, []string{"invalid-code"}},
	{401, []string{"unauthorized", "jwt-expired", "jwt-revoked", "invalid-signature", "invalid-api-key", "quota-exceeded"}},
	{402, []string{"low-balance"}},
	{403, []string{"forbidden", "account-suspended", "unprovisioned"}},
	{404, []string{"request-not-found", "template-not-found", "template-fragment-not-found"}},
	{409, []string{"concurrent", "no-code", "no-events", "conflict", "template-exists", "fragment-exists", "not-empty-template", "max-templates"}},
	{410, []string{"expired"}},
	{412, []string{"precondition-failed"}},
	{422, []string{"invalid-params"}},
	{429, []string{"throttled"}},
	{500, []string{"internal-error"}},
}

// noSlug is that of what is no problem, or has no type.
const noSlug = "none"

func codesV2() (codes []string) {
	for _, a := range answersV2 {
		codes = append(codes, strconv.Itoa(a.code))
	}
	return append(codes, otherLabel)
}

// labelsV2 are the values of the labels code and slug for an answer.
func labelsV2(answer *wire.Answer) (code, slug string) {
	i := slices.IndexFunc(answersV2[:], func(a answerV2) bool { return a.code == answer.Code })
	if i < 0 {
		return otherLabel, otherLabel
	}
	code, slug = strconv.Itoa(answer.Code), noSlug
	if answer.Code/100 == 2 {
		return code, slug
	}
	var problem struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(answer.Body, &problem) // some have no type
	if _, said, ok := strings.Cut(problem.Type, "#"); ok {
		slug = otherLabel
		if n := slices.Index(answersV2[i].slugs, said); n >= 0 {
			slug = answersV2[i].slugs[n]
		}
	}
	return code, slug
}

// V2Answer counts the provider's answer to a call that a client has made of version 2 by itself.
func (m *AccountMetrics) V2Answer(answer *wire.Answer) {
	code, slug := labelsV2(answer)
	m.v2Answers.WithLabelValues(code, slug).Inc()
}

// PrepareTemplates makes the series of an account at which templates may be managed.
func (m *AccountMetrics) PrepareTemplates() {
	for _, source := range []Source{FromUpstream, FromGateway} {
		for _, status := range statusesOf(wire.Templates, source) {
			m.requests.WithLabelValues(wire.Templates.String(), status, string(source))
		}
	}
	for _, outcome := range AttemptOutcomes {
		m.outcomes.of(outcomeLabels{wire.Templates, outcome})
	}
}

// PrepareV2 makes the series of an account that takes calls of version 2.
func (m *AccountMetrics) PrepareV2() {
	for _, a := range answersV2 {
		code := strconv.Itoa(a.code)
		if a.code/100 == 2 {
			m.v2Answers.WithLabelValues(code, noSlug)
		}
		for _, slug := range a.slugs {
			m.v2Answers.WithLabelValues(code, slug)
		}
	}
}

// PrepareEstimates has costs that are estimated in a currency be there from the start.
func (m *AccountMetrics) PrepareEstimates(currency string, countries, callers []string) {
	for _, country := range countries {
		m.Cost("", currency, wire.Estimated, country, 0)
	}
	for _, caller := range callers {
		m.Cost(caller, currency, wire.Estimated, "", 0)
	}
}
