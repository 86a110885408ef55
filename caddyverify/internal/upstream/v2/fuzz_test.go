package v2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// FuzzAnswers has the provider answer anything to each call: what comes out can be read as v1's
// answer, or is a fault that can be told.
func FuzzAnswers(f *testing.F) {
	for _, said := range []said{
		{202, `{"request_id":"` + id + `"}`},
		{200, `{"request_id":"` + id + `","status":"completed"}`},
		{204, ""},
		wrongCode, expired, quota,
		notFound, noResource, concurrent, noEvents, gone, throttled, internal,
		{422, invalid(`[{"name":"to"}]`)},
		{422, invalid(`{"to":"x"}`)},
	} {
		f.Add(said.code, said.body)
	}
	f.Add(409, `{"title":"`+"\xff"+`","request_id":"`+strings.Repeat("9", 1<<10)+`"}`)
	f.Add(409, strings.Repeat(`{"title":`, 1<<10))
	f.Fuzz(func(t *testing.T, code int, body string) {
		if code < 200 || code > 599 {
			return // no transport's
		}
		for _, call := range []*wire.Call{requestCall(), checkCall(), controlCall("cancel"), controlCall("trigger_next_event"), probeCall()} {
			if code == 409 && call.Get("cmd") == trigger {
				continue // it may wait
			}
			for _, format := range wire.Formats {
				call.Format = format
				p := saying(said{code, body})
				answer := send(t, newClient(t, p), call)
				if len(p.sent) != 1 {
					t.Errorf("%d requests were sent", len(p.sent))
				}
				if ours := wire.Say(&wire.Fault{Cause: wire.UpstreamError}, call.Operation, format, false); answer.Fault == nil && len(answer.Body) > 4*len(ours.Body) {
					t.Errorf("the provider's words come through: %s", answer.Body)
				}
				_ = fmt.Sprint(answer.Fault)
			}
		}
	})
}
