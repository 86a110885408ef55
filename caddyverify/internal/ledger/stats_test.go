package ledger

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// Stats moves nothing: however often somebody reads them, and whenever, all that comes
// later is the same.
func TestStatsMoveNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		plan := rapid.SliceOfN(modelSteps, 20, 100).Draw(rt, "steps")
		reads := rapid.SliceOfN(rapid.IntRange(0, 3), len(plan), len(plan)).Draw(rt, "reads")
		course := func(reading bool) []string {
			w := newWorld()
			synctest.Test(t, func(*testing.T) {
				w.ledger = New(Settings{MaxEntries: verifications / 2})
				for i, s := range plan {
					time.Sleep(s.after)
					for n := 0; reading && n < reads[i]; n++ {
						w.ledger.Stats()
					}
					w.do(s)
				}
				w.course = append(w.course, fmt.Sprintf("%+v", w.ledger.Stats()))
			})
			return w.course
		}
		if without, with := course(false), course(true); !slices.Equal(without, with) {
			rt.Errorf("unread, the ledger said\n%v\nread, it said\n%v", without, with)
		}
	})
}

// What time brings about is told once, and not by reading.
func TestStatsTellNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Settings{})
		observe(l, request("a"))
		time.Sleep(10 * time.Hour)
		for range 3 {
			wantStats(t, l, 1, 0, 1) // as of the beginning
		}
		if n := len(l.Advance().Finished); n != 1 {
			t.Errorf("%d finished", n)
		}
		wantStats(t, l, 0, 0, 1)
	})
}
