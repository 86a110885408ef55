package ledger

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWheel compares the wheel with a plain set.
func TestWheel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := wheel{records: newRecords()}
		var now time.Duration
		held := map[*record]bool{}
		var beyond bool                                           // something was further away than the wheel reaches
		within := rapid.Int64Range(0, int64(slots-1)*int64(tick)) // what the wheel reaches
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "add", "remove", "wait", "soonest"}).Draw(t, "kind") {
			case "add":
				r := w.records.add(fmt.Sprint(step))
				wait := time.Duration(within.Draw(t, "when"))
				if rapid.IntRange(0, 99).Draw(t, "far") == 99 {
					wait *= 20
				}
				beyond = beyond || wait > (slots-1)*tick
				w.add(r, now+wait)
				held[r] = true
			case "remove":
				for r := range held {
					w.remove(r)
					delete(held, r)
					break
				}
			case "wait":
				now += time.Duration(within.Draw(t, "wait"))
				most := math.MaxInt
				for r := w.next(now, &most); r != nil; r = w.next(now, &most) {
					if !held[r] || r.when > now {
						t.Fatalf("%v came out at %v, held: %v", r.when, now, held[r])
					}
					delete(held, r)
				}
				for r := range held {
					if r.when <= now-tick {
						t.Fatalf("%v is still in at %v", r.when, now)
					}
				}
			case "soonest":
				r := w.soonest()
				if (r == nil) != (len(held) == 0) || r != nil && !held[r] {
					t.Fatalf("soonest() = %v of %d", r, len(held))
				}
				for other := range held {
					if !beyond && r.when > other.when+tick {
						t.Fatalf("soonest() = %v, but there is %v", r.when, other.when)
					}
				}
			}
			if w.size != len(held) {
				t.Fatalf("size %d of %d", w.size, len(held))
			}
		}
	})
}

// A look at no more than so many records stops there and goes on where it was.
func TestWheelInParts(t *testing.T) {
	w := wheel{records: newRecords()}
	for i := range 10 {
		w.add(w.records.add(fmt.Sprint(i)), time.Second)
	}
	for _, want := range []int{4, 4, 2, 0} {
		most, got := 4, 0
		for w.next(time.Minute, &most) != nil {
			got++
		}
		if got != want {
			t.Errorf("%d came out, want %d", got, want)
		}
	}
}

// What is further away than the wheel reaches shares a slot with what is near, and
// must not be in its way.
func TestWheelOnceAround(t *testing.T) {
	w := wheel{records: newRecords()}
	far, near := w.records.add("far"), w.records.add("near")
	w.add(far, slots*tick)
	w.add(near, 2*tick)
	if most := 4; w.soonest() != near || w.next(10*tick, &most) != near {
		t.Error("the near one is hidden")
	}
	if most := 4; w.next((slots-1)*tick, &most) != nil {
		t.Error("the far one is early")
	}
	if most := 4; w.next(slots*tick, &most) != far {
		t.Error("the far one is late")
	}
}
