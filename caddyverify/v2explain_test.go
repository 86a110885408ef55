package caddyverify

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/status"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// TestExplainByVersion: until when a verification can be verified is reckoned by the times of the version that it was
// started with, and so is when its time is over.
func TestExplainByVersion(t *testing.T) {
	const grace = 90 * time.Second
	applicationKey() // once, and outside of fake time
	for _, test := range []struct {
		form   string
		v1, v2 time.Duration
	}{
		{"", 605 * time.Second, 540 * time.Second},
		{"&workflow_id=5", 300 * time.Second, 300 * time.Second},
		{"&workflow_id=6", 300 * time.Second, 300 * time.Second},
		{"&next_event_wait=100", 300 * time.Second, 300 * time.Second},
		{"&next_event_wait=100&pin_expiry=300", 500 * time.Second, 300 * time.Second},
		{"&workflow_id=7&pin_expiry=3600", 3600 * time.Second, 300 * time.Second},
	} {
		for version, life := range map[string]time.Duration{"v1": test.v1, "v2": test.v2} {
			t.Run(version+test.form, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var d *direct
					if version == apiV1 {
						d = newDirect(t, &Handler{Account: Account{}}, sandboxConfig)
					} else {
						d = atV2(t, Account{})
					}
					defer d.close(t)
					_, id := outcomeOf(t, wire.Request, d.call(wire.Request, "number=447700900000&brand=Acme"+test.form))
					explained(t, d, id, life+grace)
					time.Sleep(life + grace - time.Second)
					if known, _ := status.VerificationOf(d.gateway.Account, id); known.State != "in_progress" {
						t.Errorf("before the end it is %s", known.State)
					}
					time.Sleep(5 * time.Second)
					if known, _ := status.VerificationOf(d.gateway.Account, id); known.State != "unsettled" {
						t.Errorf("after the end it is %s", known.State)
					}
				})
			})
		}
	}
	t.Run("by version 2 itself", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := atV2(t, Account{})
			defer d.close(t)
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, pathV2, strings.NewReader(`{"brand":"Acme","channel_timeout":70,"workflow":[{"channel":"sms","to":"447700900000"},{"channel":"voice","to":"447700900000"}]}`))
			r.Header.Set("Content-Type", "application/json")
			_ = d.ServeHTTP(w, r, nil)
			explained(t, d, strings.ReplaceAll(reply{body: w.Body.String()}.field("request_id"), "-", ""), 2*70*time.Second+grace)
		})
	})
}

// explained wants a verification to count as over so long after its beginning.
func explained(t *testing.T, d *direct, id string, want time.Duration) {
	t.Helper()
	known, ok := status.VerificationOf(d.gateway.Account, id)
	if got := known.Expires.Sub(known.Begun); !ok || got != want {
		t.Errorf("the end of %s is taken to be %v after its beginning, want %v", id, got, want)
	}
}
