package v2

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// deaf is a way to the provider on which answers are lost.
type deaf struct {
	*provider
	lost bool
}

func (d *deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := d.provider.RoundTrip(r)
	if d.lost && err == nil {
		response.Body = io.NopCloser(iotest.ErrReader(syscall.ECONNRESET))
	}
	return response, err
}

func searchCall() *wire.Call {
	return &wire.Call{Operation: wire.Search, Params: params("request_id", v1ID)}
}

func rawCheck() *wire.Call {
	call := checkCall()
	call.Raw = &wire.Raw{Body: `{"code":"1234"}`}
	return call
}

// A check or a cancel that may have ended a verification leaves it in doubt, however it failed, and what the
// provider says next tells that it is over, and not how.
func TestInDoubt(t *testing.T) {
	const lost = 299 // for an answer that does not come
	for _, test := range []struct {
		name  string
		after time.Duration
		call  *wire.Call
		said  said
		then  *wire.Call
		next  said
		// what the next call and searches say, then and when its time is over
		status, search, end wire.Status
	}{
		{"a check without an answer", 0, checkCall(), said{code: lost}, checkCall(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a check that fails", 0, checkCall(), internal, checkCall(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a page for a right code", 0, checkCall(), said{200, "<html>"}, checkCall(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a check by version 2", 0, rawCheck(), said{code: lost}, checkCall(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"and a check by version 2", 0, checkCall(), said{code: lost}, rawCheck(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a check that was refused", 0, checkCall(), throttled, checkCall(), notFound, "6", wire.InProgress, wire.Expired},
		{"and a wrong code", 0, checkCall(), said{code: lost}, checkCall(), wrongCode, "16", wire.InProgress, wire.Expired},
		{"and the right code", 0, checkCall(), said{code: lost}, checkCall(), said{204, ""}, "0", wire.Succeeded, wire.Succeeded},
		{"and too many wrong codes", 0, checkCall(), said{code: lost}, checkCall(), gone, "17", wire.Failed, wire.Failed},
		{"and no answer again", 0, checkCall(), said{code: lost}, checkCall(), internal, "5", wire.InProgress, wire.NoResponse},
		{"and a 404 that is not the API's", 0, checkCall(), said{code: lost}, checkCall(), notFoundText, "5", wire.InProgress, wire.NoResponse},
		{"and a cancel", time.Minute, checkCall(), said{code: lost}, controlCall("cancel"), said{204, ""}, "0", wire.Cancelled, wire.Cancelled},
		{"and a cancel that finds nothing", time.Minute, checkCall(), said{code: lost}, controlCall("cancel"), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"and a cancel that is too early", 0, checkCall(), said{code: lost}, controlCall("cancel"), notFound, "19", wire.InProgress, wire.NoResponse},
		{"and a cancel that is too late", 200 * time.Second, checkCall(), said{code: lost}, controlCall("cancel"), notFound, "19", wire.InProgress, wire.NoResponse},
		{"and the next message", 0, checkCall(), said{code: lost}, controlCall("trigger_next_event"), said{200, ""}, "0", wire.InProgress, wire.Expired},
		{"a cancel without an answer", time.Minute, controlCall("cancel"), said{code: lost}, controlCall("cancel"), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a cancel that fails, and a check", time.Minute, controlCall("cancel"), internal, checkCall(), notFound, "6", wire.NoResponse, wire.NoResponse},
		{"a trigger that fails", 0, controlCall("trigger_next_event"), internal, checkCall(), notFound, "6", wire.InProgress, wire.Expired},
	} {
		for _, shared := range []bool{false, true} {
			t.Run(map[bool]string{false: test.name, true: test.name + ", at two gateways"}[shared], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					way := &deaf{provider: saying(test.said, test.next)}
					one := newClient(t, way)
					two := one
					if shared {
						var memory store.Memory
						two = newClient(t, way)
						one.Book.Share(memory.Open("a", "one"))
						two.Book.Share(memory.Open("a", "two"))
					}
					begin(t, way.provider, one, requestCall())
					time.Sleep(test.after)
					way.lost = test.said.code == lost
					before := one.RoundTrip(t.Context(), test.call)
					if way.lost && (before.Fault == nil || !before.Fault.MayHaveSent) {
						t.Fatalf("the first call gets %s", before.Body)
					}
					way.lost = false
					time.Sleep(time.Second)
					if answer := two.RoundTrip(t.Context(), test.then); answer.Status != test.status {
						t.Errorf("the second call is answered %s", answer.Body)
					}
					for _, c := range []*Client{one, two} {
						if answer := send(t, c, searchCall()); answer.Status != test.search {
							t.Errorf("a search is answered %s", answer.Body)
						}
					}
					time.Sleep(10 * time.Minute)
					for _, c := range []*Client{one, two} {
						if answer := send(t, c, searchCall()); answer.Status != test.end {
							t.Errorf("a search at the end is answered %s", answer.Body)
						}
					}
				})
			})
		}
	}
}
