package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
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
