package limit

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// happening is one thing that happens, some time after the one before.
type happening struct {
	after    time.Duration
	kind     string
	caller   string
	times    int
	o        wire.Operation
	patience time.Duration // when the caller leaves; 0 for never
	weight   int
}

// ownRate is the limit of the caller "small".
const ownRate = 3

var events = rapid.Custom(func(t *rapid.T) happening {
	ms := func(label string, of ...int) time.Duration {
		return time.Duration(rapid.SampledFrom(of).Draw(t, label)) * time.Millisecond
	}
	return happening{
		after:    ms("after", 0, 0, 0, 1, 1, 10, 36, 100, 250, 900, 1000, 3000),
		kind:     rapid.SampledFrom([]string{"call", "call", "call", "call", "call", "call", "own", "throttle", "search throttle", "shares"}).Draw(t, "kind"),
		caller:   rapid.SampledFrom([]string{"", "a", "b", "small", fmt.Sprint("new", rapid.IntRange(0, 99).Draw(t, "new"))}).Draw(t, "caller"),
		times:    rapid.IntRange(1, 12).Draw(t, "times"),
		o:        rapid.SampledFrom(wire.Operations[:]).Draw(t, "operation"),
		patience: ms("patience", 0, 0, 0, 1, 100, 250),
		weight:   rapid.IntRange(1, 5).Draw(t, "weight"),
	}
})

// TestModel has calls of many callers, the provider's throttling and other settings, at
// random: the limits are kept, nobody waits for too long, and what the Limiter knows of
// callers agrees with itself and is little.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rate := rapid.SampledFrom([]int{1, 2, 8, 28, -1}).Draw(rt, "rate")
		searches := rapid.SampledFrom([]int{0, 1, 5}).Draw(rt, "searches")
		list := rapid.SliceOfN(events, 1, 80).Draw(rt, "events")
		if rate > 0 {
			searches = min(searches, rate)
		}
		var problem string
		synctest.Test(t, func(*testing.T) { problem = play(rate, searches, list) })
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

func play(rate, searches int, list []happening) (problem string) {
	settings := func(weight int) Settings {
		return Settings{Rate: rate, SearchRate: searches, Callers: map[string]Share{"small": {Rate: ownRate}, "a": {Weight: weight}}}
	}
	var (
		l           = New(settings(1))
		mu          sync.Mutex
		wg          sync.WaitGroup
		begun       = time.Now()
		went, small []time.Duration
		searched    []time.Duration
	)
	call := func(e happening) {
		ctx, came := context.Background(), time.Now()
		if e.patience > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, e.patience)
			defer cancel()
		}
		var refusal Refusal
		var ok bool
		if e.kind == "own" {
			ok = l.WaitFirst(ctx)
		} else {
			refusal, ok = l.Wait(ctx, e.caller, e.o)
		}
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case e.kind == "call" && now.Sub(came) > maxWait:
			problem = fmt.Sprintf("a call waited for %v", now.Sub(came))
		case !ok && ctx.Err() == nil && refusal.RetryAfter < time.Second:
			problem = fmt.Sprintf("a refusal says %+v", refusal)
		case ok:
			went = append(went, now.Sub(begun))
			if e.kind == "call" && e.caller == "small" {
				small = append(small, now.Sub(begun))
			}
			if e.kind == "call" && e.o == wire.Search {
				searched = append(searched, now.Sub(begun))
			}
		}
	}
	for _, e := range list {
		time.Sleep(e.after)
		switch e.kind {
		case "throttle":
			l.Observe(wire.Request, throttled)
		case "search throttle":
			l.Observe(wire.Search, throttled)
		case "shares":
			l.Configure(settings(e.weight))
		default:
			for range e.times {
				wg.Go(func() { call(e) })
			}
		}
		synctest.Wait()
		if found := inconsistent(l); found != "" {
			return found
		}
	}
	wg.Wait()
	if l.Stats().Waiting != 0 || len(l.busy) != 0 {
		return "somebody waits still"
	}
	if most := mostInASecond(went); rate > 0 && most > rate+1 { // both ends of the second
		return fmt.Sprintf("%d calls in a second", most)
	}
	if most := mostInASecond(small); most > ownRate+1 {
		return fmt.Sprintf("%d calls in a second of one that may make %d", most, ownRate)
	}
	if most := mostInASecond(searched); searches > 0 && most > searches+1 {
		return fmt.Sprintf("%d searches in a second, of %d", most, searches)
	}
	return problem
}

// inconsistent tells where what a Limiter knows of callers does not agree with itself.
func inconsistent(l *Limiter) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lately, active, busy := 0, int64(0), 0
	for name, c := range l.callers {
		waiting := c.behind(check) + len(c.queue[check])
		if name != c.name || waiting != c.waiting || c.waiting == 0 && c.lately == 0 && !c.named {
			return fmt.Sprintf("%s is %+v", name, *c)
		}
		lately += c.lately
		if c.lately > 0 {
			active += c.weight
		}
		if c.waiting > 0 {
			busy++
		}
	}
	if lately != l.made.n || active != l.active || busy != len(l.busy) {
		return fmt.Sprintf("%d calls of late, not %d, by a weight of %d, not %d; %d callers wait, not %d", l.made.n, lately, l.active, active, len(l.busy), busy)
	}
	if apart := l.settings.SearchRate > 0 || l.searches.lowered(); apart != l.searchesApart {
		return fmt.Sprintf("searches have slots of their own: %t", l.searchesApart)
	}
	if l.waiting() > 0 && (l.due.IsZero() || !l.due.After(time.Now())) {
		return fmt.Sprintf("the next turn of those that wait is due at %v", l.due)
	}
	return ""
}
