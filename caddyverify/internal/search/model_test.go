package search

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// step is one thing that happens, some time after the step before began.
type step struct {
	after time.Duration
	kind  string
	ids   []int
	list  bool
	who   int
	at    int // which gateway, where there are two
	xml   bool
	// slow is how long the upstream takes until it looks, and again to answer.
	slow [2]time.Duration
	// patience is when the caller leaves; 0 for never.
	patience time.Duration
	fault    string
	final    bool
}

// ids is how many verifications there are, few so that things meet; known of them
// exist from the beginning.
const (
	ids   = wire.MaxIDs
	known = 7
)

var steps = rapid.Custom(func(t *rapid.T) step {
	short := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 10 * time.Millisecond, 300 * time.Millisecond, time.Second})
	s := step{
		after: rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond, time.Millisecond, 5 * time.Millisecond, 5 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second, 30 * time.Second, 61 * time.Second, 6 * time.Minute}).Draw(t, "after"),
		kind:  rapid.SampledFrom([]string{"nothing", "search", "search", "search", "search", "search", "check", "check", "change", "fault", "loss"}).Draw(t, "kind"),
		at:    rapid.IntRange(0, 1).Draw(t, "at"),
		slow:  [2]time.Duration{short.Draw(t, "slow"), short.Draw(t, "slow")},
	}
	id := rapid.IntRange(0, ids-1)
	switch s.kind {
	case "search":
		s.list = rapid.Bool().Draw(t, "list")
		s.ids = []int{id.Draw(t, "id")}
		if s.list {
			s.ids = rapid.SliceOfNDistinct(id, 1, ids, rapid.ID[int]).Draw(t, "ids")
		}
		s.who = rapid.IntRange(0, 3).Draw(t, "who") / 3
		s.xml = rapid.IntRange(0, 3).Draw(t, "xml") == 0
		s.patience = rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 11 * time.Millisecond}).Draw(t, "patience")
	case "check", "change":
		s.ids = []int{id.Draw(t, "id")}
		s.final = rapid.IntRange(0, 3).Draw(t, "final") == 0
	case "fault":
		s.fault = rapid.SampledFrom([]string{"", "", "", "fault", "1", "5", "4", "panic", "hang"}).Draw(t, "fault")
	}
	return s
})

// longestCheck is how long a check takes at most: both parts of it, and the store.
const longestCheck = 2*time.Second + 100*time.Millisecond

// world is a provider whose states have versions, and what was seen of it.
type world struct {
	mu       sync.Mutex
	version  map[string]int // 0: unknown to the provider
	final    map[string]bool
	floor    map[string]int       // the version at the last check that was over
	sent     map[string]time.Time // when it last sent a part, by caller, format and part
	asking   map[string]int       // searches under way, by caller, format and id
	left     map[string]time.Time // when one of them was last left
	told     map[string]time.Time // when one of them last ended with a state
	fault    string
	slow     [2]time.Duration
	problems []string
}

func (w *world) complain(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// part is what the provider tells of a verification; its price is the version.
func (w *world) part(f wire.Format, id string) string {
	status := ip
	if w.final[id] {
		status = done
	}
	return fragment(f, id, status, fmt.Sprint(w.version[id]))
}

// forWhom are the callers for whom a call may be that asks for a verification: those that are
// asking, those that have left what others wait for, and those for whom it is refreshed. The
// caller holds w.mu.
func (w *world) forWhom(f wire.Format, id string) (callers []string) {
	// What is dropped within its lifetime is wanted while the check lasts and for a while after it.
	const underWay, refreshed = 10*time.Second + patience, 2*time.Second + longestCheck + wantedFor
	for n := range 2 {
		caller := fmt.Sprint("caller", n)
		key := caller + f.String() + id
		if w.asking[key] > 0 || time.Since(w.left[key]) <= underWay || time.Since(w.told[key]) < refreshed {
			callers = append(callers, caller)
		}
	}
	return callers
}

func (w *world) fetch(ctx context.Context, call *wire.Call) wire.Answer {
	w.mu.Lock()
	slow, trouble := w.slow, w.fault
	ids, list := call.IDs()
	forWhom := map[string][]string{}
	anybody := false
	for _, id := range ids {
		forWhom[id] = w.forWhom(call.Format, id)
		anybody = anybody || len(forWhom[id]) > 0
	}
	w.mu.Unlock()
	if len(ids) > wire.MaxIDs || len(ids) > 1 && !list || !anybody {
		w.complain("asks for %v", ids)
	}
	time.Sleep(slow[0])
	switch trouble {
	case "fault":
		return fault(wire.ConnectFailed, false, call.Format, nil)
	case "1", "4", "5":
		return says(call.Format, number(call.Format, trouble))
	case "panic":
		panic("model")
	case "hang":
		<-ctx.Done()
		return fault(wire.UpstreamTimeout, true, call.Format, ctx.Err())
	}
	w.mu.Lock()
	var parts []string
	var keys []string
	for _, id := range ids {
		if w.version[id] > 0 {
			part := w.part(call.Format, id)
			parts = append(parts, part)
			for _, other := range forWhom[id] {
				keys = append(keys, other+call.Format.String()+part)
			}
		}
	}
	w.mu.Unlock()
	time.Sleep(slow[1])
	w.mu.Lock()
	for _, key := range keys {
		w.sent[key] = time.Now()
	}
	w.mu.Unlock()
	switch {
	case len(parts) == 0:
		return says(call.Format, number(call.Format, "101"))
	case list:
		return says(call.Format, listOf(call.Format, append(parts, fragment(call.Format, "stranger", done, "1"))...))
	}
	return says(call.Format, oneOf(call.Format, parts[0]))
}

// search asks and judges the answer.
func (w *world) search(c *Cache, s step) {
	f := wire.JSON
	if s.xml {
		f = wire.XML
	}
	caller := fmt.Sprint("caller", s.who)
	var ids []string
	floor := map[string]int{}
	w.mu.Lock()
	for _, n := range s.ids {
		id := fmt.Sprint("id", n)
		ids = append(ids, id)
		floor[id] = w.floor[id]
		w.asking[caller+f.String()+id]++
	}
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if s.patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, s.patience)
		defer cancel()
	}
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, id := range ids {
			w.asking[caller+f.String()+id]--
			if ctx.Err() != nil {
				w.left[caller+f.String()+id] = time.Now()
			}
		}
	}()
	begun := time.Now()
	a, r := c.Search(ctx, by(caller, wire.SearchFor(f, ids, s.list)), w.fetch)
	defer r.Release()
	if took := time.Since(begun); took > 2*c.inForce.Load().settings.Timeout { // its own call, after another's
		w.complain("took %s", took)
	}
	if a.Fault != nil || a.Status.Numeric() {
		for _, id := range ids {
			if a.Status == wire.NoResponse && floor[id] > 0 {
				w.complain("%s is said not to be there: %s", id, r.CacheStatus())
			}
		}
		if r.Kind != wire.CacheMiss && a.Status != wire.NoResponse {
			w.complain("%s for %s", r.CacheStatus(), a.Body)
		}
		return
	}
	read, err := wire.Read(wire.Search, f, a.Body)
	if err != nil || read.List != s.list {
		w.complain("unreadable, or of another shape: %v %s", err, a.Body)
		return
	}
	next := 0
	for _, v := range read.Found {
		for next < len(ids) && ids[next] != v.RequestID {
			next++ // left out
		}
		if next++; next > len(ids) {
			w.complain("not asked, or not in this order: %s", a.Body)
			return
		}
		var version int
		_, _ = fmt.Sscan(v.Price, &version)
		if version < floor[v.RequestID] {
			w.complain("%s is of version %d, a check had seen %d: %s", v.RequestID, version, floor[v.RequestID], r.CacheStatus())
		}
		lifetime := map[wire.Status]time.Duration{ip: c.inForce.Load().settings.InProgress, done: c.inForce.Load().settings.Final}[v.Status]
		if r.Kind == wire.CacheStale {
			lifetime += c.inForce.Load().settings.StaleIfError
		}
		w.mu.Lock()
		w.told[caller+f.String()+v.RequestID] = time.Now()
		sent := w.sent[caller+f.String()+string(v.Raw)]
		w.mu.Unlock()
		if sent.IsZero() || begun.Sub(sent) > lifetime {
			w.complain("%s was sent at %v, too long ago at %v: %s", v.Raw, sent, begun, r.CacheStatus())
		}
	}
	// Nothing may be left out that was there when the last check was over.
	if len(read.Found) < len(ids) {
		there := map[string]bool{}
		for _, v := range read.Found {
			there[v.RequestID] = true
		}
		for _, id := range ids {
			if !there[id] && floor[id] > 0 {
				w.complain("%s is left out: %s", id, a.Body)
			}
		}
	}
}

// check is a check or control: the state changes somewhere on its way.
func (w *world) check(p *peer, s step) {
	id, version := fmt.Sprint("id", s.ids[0]), 0
	p.check(id, func() {
		time.Sleep(s.slow[0])
		w.change(id, s.final)
		w.mu.Lock()
		version = w.version[id]
		w.mu.Unlock()
		time.Sleep(s.slow[1])
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.floor[id] = max(w.floor[id], version)
}

func (w *world) change(id string, final bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version[id]++
	w.final[id] = w.final[id] || final
}

func TestModel(t *testing.T) {
	t.Run("one gateway", func(t *testing.T) { testModel(t, false) })
	t.Run("two with a store", func(t *testing.T) { testModel(t, true) })
}

func testModel(t *testing.T, shared bool) {
	rapid.Check(t, func(rt *rapid.T) {
		// Long from the start: rapid would rather draw short ones, in which
		// nothing meets.
		plan := rapid.SliceOfN(steps, 150, 300).Draw(rt, "steps")
		settings := Settings{
			MaxEntries: rapid.SampledFrom([]int{0, 3, 20}).Draw(rt, "entries"),
			MaxBytes:   rapid.SampledFrom([]int64{0, 5000}).Draw(rt, "bytes"),
		}
		longest := 6 * time.Minute
		if shared { // five beats a second take their time
			longest, settings.Settling = 5*time.Second, 4*time.Second
		}
		w := &world{version: map[string]int{}, final: map[string]bool{}, floor: map[string]int{}, sent: map[string]time.Time{}, asking: map[string]int{}, left: map[string]time.Time{}, told: map[string]time.Time{}}
		for i := range known { // the others are unknown at first
			w.version[fmt.Sprint("id", i)] = 1
			w.floor[fmt.Sprint("id", i)] = 1
		}
		synctest.Test(t, func(t *testing.T) {
			defer time.Sleep(time.Minute) // for what was stopped to end
			fleet := fleet{alone: !shared, settings: settings}
			peers := []*peer{fleet.join(t, "a")}
			if shared {
				peers = append(peers, fleet.join(t, "b"))
			}
			for _, p := range peers {
				p.OnStale = func() { w.complain("what is stale would have been kept") }
				defer p.close()
			}
			var all sync.WaitGroup
			for _, s := range plan {
				time.Sleep(min(s.after, longest))
				p := peers[s.at%len(peers)]
				switch s.kind {
				case "search":
					w.mu.Lock()
					w.slow = s.slow
					w.mu.Unlock()
					all.Go(func() { w.search(p.Cache, s) })
				case "check":
					all.Go(func() { w.check(p, s) })
				case "change": // an event of the provider's own
					w.change(fmt.Sprint("id", s.ids[0]), s.final)
				case "loss":
					if shared {
						p.spy.told(store.Name{})
					}
				case "fault":
					w.mu.Lock()
					w.fault = s.fault
					w.mu.Unlock()
				}
				c := p.Cache
				if stats := c.Stats(); stats.Entries > int64(c.inForce.Load().settings.MaxEntries) || stats.Bytes > c.inForce.Load().settings.MaxBytes {
					w.complain("over the bounds: %+v", stats)
				}
			}
			all.Wait()
			time.Sleep(time.Minute) // for calls that nobody waits for
			synctest.Wait()
			for _, p := range peers {
				p.Cache.check(t)
				for i := range p.inForce.Load().shards {
					if n := len(p.inForce.Load().shards[i].flights); n != 0 {
						w.complain("%d flights left", n)
					}
				}
			}
		})
		if len(w.problems) > 0 {
			rt.Fatal(strings.Join(w.problems, "\n"))
		}
	})
}
