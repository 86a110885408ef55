package breaker

import (
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestClassify has every outcome that there is, by hand: byCause and byStatus must
// not agree with themselves only.
func TestClassify(t *testing.T) {
	const (
		dial     = 1 << iota // counts in a row of failed connections
		answered             // ends such a row
		closes               // closes the circuit after a probe
	)
	tests := []struct {
		name    string
		answer  wire.Answer
		verdict Verdict
		flags   int
	}{
		{"success", says("0"), Success, answered | closes},
		{"throttled", says("1"), Excluded, answered},
		{"missing parameter", says("2"), Alive, answered | closes},
		{"invalid parameter", says("3"), Alive, answered | closes},
		{"bad credentials", says("4"), Excluded, answered | closes},
		{"internal error", says("5"), Failure, answered},
		{"not found", says("6"), Alive, answered | closes},
		{"number blocked", says("7"), Alive, answered | closes},
		{"account barred", says("8"), Excluded, answered | closes},
		{"no credit", says("9"), Excluded, answered | closes},
		{"concurrent", says("10"), Alive, answered | closes},
		{"unsupported network", says("15"), Alive, answered | closes},
		{"wrong code", says("16"), Alive, answered | closes},
		{"too many wrong codes", says("17"), Alive, answered | closes},
		{"too many ids", says("18"), Alive, answered | closes},
		{"cannot control", says("19"), Alive, answered | closes},
		{"pin code not supported", says("20"), Alive, answered | closes},
		{"demo account", says("29"), Alive, answered | closes},
		{"no response", says("101"), Alive, answered | closes},
		{"a number of the future", says("77"), Alive, answered | closes},
		{"search: in progress", says("IN PROGRESS"), Success, answered | closes},
		{"search: success", says("SUCCESS"), Success, answered | closes},
		{"search: failed", says("FAILED"), Success, answered | closes},
		{"search: expired", says("EXPIRED"), Success, answered | closes},
		{"search: cancelled", says("CANCELLED"), Success, answered | closes},
		{"search: a list", wire.Answer{Reading: wire.Reading{List: true}}, Success, answered | closes},

		{"no connection", fails(wire.ConnectFailed), Failure, dial},
		{"no trusted connection", fails(wire.TLSFailed), Failure, dial},
		{"timeout", fails(wire.UpstreamTimeout), Failure, 0},
		{"connection lost", fails(wire.ConnectionLost), Failure, 0},
		{"HTTP 5xx", fails(wire.UpstreamError), Failure, answered},
		{"HTTP 400", refusedBy(400), Alive, closes},
		{"HTTP 404", refusedBy(404), Alive, closes},
		{"HTTP 500", refusedBy(500), Failure, answered},
		{"a redirect", refusedBy(302), Failure, answered},
		{"too large", fails(wire.AnswerTooLarge), Failure, answered},
		{"unreadable", fails(wire.AnswerUnreadable), Failure, answered},
		{"with a secret", fails(wire.AnswerWithSecret), Failure, answered},
		{"HTTP 429", fails(wire.UpstreamThrottled), Excluded, answered},
		{"HTTP 401", fails(wire.UpstreamUnauthorized), Excluded, answered | closes},
		{"client left", fails(wire.ClientLeft), Excluded, 0},

		{"refused: method", fails(wire.MethodNotAllowed), Excluded, 0},
		{"refused: path", fails(wire.UnknownPath), Excluded, 0},
		{"refused: body", fails(wire.BodyTooLarge), Excluded, 0},
		{"refused: query", fails(wire.QueryTooLong), Excluded, 0},
		{"refused: parameters", fails(wire.TooManyParameters), Excluded, 0},
		{"refused: media type", fails(wire.UnknownMediaType), Excluded, 0},
		{"refused: undecodable", fails(wire.Undecodable), Excluded, 0},
		{"refused: missing", fails(wire.MissingParameter), Excluded, 0},
		{"refused: invalid", fails(wire.InvalidParameter), Excluded, 0},
		{"refused: unknown", fails(wire.UnknownParameter), Excluded, 0},
		{"refused: repeated", fails(wire.RepeatedParameter), Excluded, 0},
		{"refused: ids", fails(wire.TooManyRequestIDs), Excluded, 0},
		{"refused: a cause unknown here", fails("limit_reached"), Excluded, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := Classification{tt.verdict, tt.flags&dial != 0, tt.flags&answered != 0, tt.flags&closes != 0}
			if got := Classify(tt.answer); got != want {
				t.Errorf("Classify() = %+v, want %+v", got, want)
			}
		})
	}
}

// An HTTP code from 500 is a failure even where the body is an answer.
func TestClassifyCode(t *testing.T) {
	for code, want := range map[int]Verdict{200: Success, 401: Success, 500: Failure, 503: Failure} {
		answer := wire.Answer{Code: code, Reading: wire.Reading{Verification: wire.Verification{Status: wire.Success}}}
		if got := Classify(answer).Verdict; got != want {
			t.Errorf("HTTP %d: got %v, want %v", code, got, want)
		}
	}
}
