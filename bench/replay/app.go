package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	pollEvery = time.Second

	// A dashboard watches one in watchOneIn verifications.
	watchOneIn = 20
)

// app polls the verifications of one side.
type app struct {
	side  *side
	sdk   sdk
	every time.Duration // a round of polling
	delay time.Duration // before the first round
	size  func() int    // of the next search
	nth   int           // it polls every nth verification
	keeps bool          // and goes on when it is over

	mu   sync.Mutex
	open []*verification // in the order in which they began
}

// newApp polls each verification until it has seen its final state, in searches
// of 1 to o.ids ids.
func newApp(s *side, o options, i int, k sdk) *app {
	r := rand.New(rand.NewPCG(o.seed, uint64(i+1)))
	every := o.real(pollEvery)
	return &app{
		side: s, sdk: k, every: every, nth: 1,
		delay: time.Duration(r.Int64N(int64(every))),
		size:  func() int { return 1 + r.IntN(o.ids) },
	}
}

// newDashboard polls some verifications until the end of the replay, ten on a page.
func newDashboard(s *side, o options, k sdk) *app {
	return &app{
		side: s, sdk: k, every: o.real(pollEvery), nth: watchOneIn, keeps: true,
		size: func() int { return maxIDs },
	}
}

func (a *app) add(i int, v *verification) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i%a.nth == 0 {
		a.open = append(a.open, v)
	}
}

// remove tells whether the app still waited for the end of the verification.
func (a *app) remove(v *verification) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.Index(a.open, v)
	if i < 0 || a.keeps {
		return false
	}
	a.open = slices.Delete(a.open, i, i+1)
	return true
}

// waits reports whether the app has yet to see a final state.
func (a *app) waits() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.keeps && len(a.open) > 0
}

// pages are the searches of one round.
func (a *app) pages() (pages [][]*verification) {
	a.mu.Lock()
	rest := slices.Clone(a.open)
	a.mu.Unlock()
	for len(rest) > 0 {
		n := min(a.size(), len(rest))
		pages = append(pages, rest[:n])
		rest = rest[n:]
	}
	return pages
}

// poll makes one round of searches after the other until ctx ends, each spread
// evenly over its time. A slow answer delays no other search.
func (a *app) poll(ctx context.Context, start time.Time) {
	var searches sync.WaitGroup
	defer searches.Wait()
	next := start.Add(a.delay)
	for sleepUntil(ctx, next) {
		pages := a.pages()
		for i, page := range pages {
			if !sleepUntil(ctx, next.Add(a.every*time.Duration(i)/time.Duration(len(pages)))) {
				return
			}
			searches.Go(func() { a.search(ctx, page) })
		}
		next = next.Add(a.every)
		if late := time.Since(next).Truncate(a.every); late > 0 {
			a.side.skipped(int(late / a.every))
			next = next.Add(late)
		}
	}
}

// search asks for a page and compares what comes with what was known before.
func (a *app) search(ctx context.Context, page []*verification) {
	ids, before := make([]string, len(page)), make([]known, len(page))
	for i, v := range page {
		ids[i], before[i] = v.id, v.now()
	}
	sent := time.Now()
	r, err := a.sdk.search(a.side.url, ids)
	if err != nil {
		a.side.fail(ctx, err.Error())
		return
	}
	var answer struct {
		state
		Requests []state `json:"verification_requests"`
	}
	if !a.side.do(ctx, r, &answer) {
		return
	}
	told := answer.Requests
	if len(page) == 1 {
		told = []state{answer.state}
	}
	took, late := time.Since(sent), time.Duration(0)
	for i, v := range page {
		at := slices.IndexFunc(told, func(s state) bool { return s.RequestID == v.id })
		if at < 0 {
			a.side.fail(ctx, answer.refused("search"))
			return
		}
		if before[i].stale(told[at]) {
			late = max(late, sent.Sub(before[i].at))
		}
		if told[at].Status != inProgress && a.remove(v) && told[at].Status == "EXPIRED" {
			a.side.sawExpired(time.Since(v.expires))
		}
	}
	a.side.count(took, late)
}

// sleepUntil reports false if ctx ended first.
func sleepUntil(ctx context.Context, t time.Time) bool {
	wait := time.NewTimer(time.Until(t))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}
