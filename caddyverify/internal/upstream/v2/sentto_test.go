package v2

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestSentTo: of a call that a client makes of version 2 each message is known by its number, as costs are.
func TestSentTo(t *testing.T) {
	for _, tt := range []struct {
		workflow string
		after    time.Duration
		want     []string
	}{
		{`{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"493023125000"}`, time.Minute, []string{"447700900000"}},
		{`{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"493023125000"}`, 7 * time.Minute, []string{"447700900000", "493023125000"}},
		{`{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"}`, 7 * time.Minute, []string{"447700900000", "447700900000"}},
		{`{"channel":"email","to":"a@example.com"},{"channel":"sms","to":"447700900000"}`, time.Minute, nil},
		{`{"channel":"email","to":"a@example.com"},{"channel":"sms","to":"447700900000"}`, 7 * time.Minute, []string{"447700900000"}},
		{`{"channel":"email","to":"a@example.com"}`, time.Minute, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/v2/verify", strings.NewReader(`{"brand":"Acme","workflow":[`+tt.workflow+`]}`))
			r.Header.Set("Content-Type", "application/json")
			path, _, _ := wire.ParsePathV2(r.Method, r.URL.Path, false)
			call, _, err := wire.ParseV2(path, r, false)
			if err != nil {
				t.Fatal(err)
			}
			c := newClient(t, saying(begun202))
			if answer := c.RoundTrip(t.Context(), call); answer.Status != wire.Success {
				t.Fatalf("it is answered %d %s", answer.Code, answer.Body)
			}
			time.Sleep(tt.after)
			v, known, _ := c.Book.Recall(t.Context(), id)
			if got := v.SentTo(); !known || !slices.Equal(got, tt.want) {
				t.Errorf("%s: after %v it has gone to %q, want %q", tt.workflow, tt.after, got, tt.want)
			}
		})
	}
}
