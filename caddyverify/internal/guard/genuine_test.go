package guard

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// end is a verification that ends.
type end struct {
	at      time.Duration
	id      string
	outcome wire.Outcome
}

type ends []end

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].at < e[j].at }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(end)) }

func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// TestGenuine has people verify themselves, of whom most type the code within half a minute,
// some late and some never, and some try again: the recommended rules refuse next to nobody, be it
// in a large country or in one that has few prefixes.
func TestGenuine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		prefixes int
		perHour  int
		verify   float64
		seed     uint64
	}{
		{"large country", 20_000, 3600, 0.85, 1},
		{"small country", 80, 3600, 0.85, 2},
		{"small country, half of them verify", 80, 1800, 0.5, 3},
		{"few starts", 20_000, 40, 0.7, 4},
	} {
		bubble(t, tt.name, func(t *testing.T) {
			g := newTest(t, Settings{Account: Recommended(Enforce)})
			random := rand.New(rand.NewPCG(tt.seed, 7))
			var due ends
			var now time.Duration
			starts, refused := 0, map[Rule]int{}
			try := func(number string, again bool) {
				starts++
				d := g.Decide(to(number))
				if f, no := d.Refusal(); no {
					refused[f.Rule]++
					return
				}
				id := fmt.Sprint("id", starts)
				g.Started(d.Ticket, id)
				switch took := time.Duration(25 * math.Exp(0.8*random.NormFloat64()) * float64(time.Second)); {
				case random.Float64() < tt.verify && took < 5*minute:
					heap.Push(&due, end{now + took, id, wire.OutcomeSuccess})
				case !again && random.IntN(2) == 0: // once more, with the next message
					heap.Push(&due, end{now + 90*time.Second, number, ""})
				default:
					heap.Push(&due, end{now + 10*minute, id, wire.OutcomeExpired})
				}
			}
			for now < 12*time.Hour {
				now += time.Duration(random.ExpFloat64() * float64(time.Hour) / float64(tt.perHour))
				for len(due) > 0 && due[0].at <= now {
					e := heap.Pop(&due).(end)
					time.Sleep(e.at - g.now())
					if e.outcome == "" {
						try(e.id, true)
					} else {
						g.Ended(e.id, e.outcome)
					}
				}
				time.Sleep(now - g.now())
				try(fmt.Sprintf("4474%05d%03d%d", random.IntN(tt.prefixes)*4, random.IntN(1000), random.IntN(10)), false)
			}
			all := 0
			for _, n := range refused {
				all += n
			}
			t.Logf("%d of %d refused: %v", all, starts, refused)
			if float64(all) > 0.002*float64(starts) {
				t.Errorf("%d of %d are refused: %v", all, starts, refused)
			}
		})
	}
}
