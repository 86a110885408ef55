package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// lateClaims makes claims when nobody waits for them any more.
type lateClaims struct{ store.Store }

func (s lateClaims) Claim(ctx context.Context, k store.Name, m store.Mark, says [32]byte, lease, ttl time.Duration) (store.Claim, error) {
	time.Sleep(2 * time.Second)
	return s.Store.Claim(ctx, k, m, says, lease, ttl)
}

// TestFleetClaimIsLate has a claim be made after its call was answered: others do not wait for its lease.
func TestFleetClaimIsLate(t *testing.T) {
	together(t, 2, func(f *fleet) {
		synctest.Wait()
		one := f.gateways[0].trouble
		one.Store = lateClaims{one.Store}
		call := requestFor("447700900001").with(keyed("k"))
		f.expect(0, call, true, "id-1 sent")
		time.Sleep(2500 * time.Millisecond)
		begun := time.Now()
		f.expect(1, call, true, "id-1 replayed")
		if waited := time.Since(begun); waited > late {
			t.Errorf("the repetition waited for %v", waited)
		}
	})
}

// TestFleetLeavesSeveral has a store make a call's claim, and then hear of nothing for some
// calls of the same: this gateway does not wait for the first one's lease.
func TestFleetLeavesSeveral(t *testing.T) {
	for name, key := range map[string]func(i int) string{
		"no key":          func(int) string { return "" },
		"a key of each":   func(i int) string { return string(rune('a' + i)) },
		"the same unsent": func(int) string { return "k" },
	} {
		t.Run(name, func(t *testing.T) {
			together(t, 1, func(f *fleet) {
				one := f.gateways[0].trouble
				f.fault = &wire.Fault{Cause: wire.BreakerOpen}
				up := f.upstreamOf()
				up.Send = func() wire.Answer {
					one.fail("*", false)
					return f.send()
				}
				for i := range 20 {
					_, _, ack := f.gateways[0].Deliver(t.Context(), requestFor("447700900001").with(keyed(key(i))), up)
					ack(true)
				}
				time.Sleep(2 * time.Second)
				one.fail("", false)
				f.fault = nil
				time.Sleep(2 * time.Second)
				if r := f.ask(0, requestFor("447700900001").with(keyed(key(0))), true); r.String() != "id-21 sent" || r.after > 0 {
					t.Errorf("got %v after %v", r, r.after)
				}
			})
		})
	}
}
