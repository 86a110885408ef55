package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is how long the apps may take to see the last final state.
const patience = 2 * time.Minute

// open starts every side: proxies, upstreams and apps.
func open(ctx context.Context, o options) (sides []*side, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for i := range closers {
			closers[len(closers)-1-i]()
		}
	}
	defer func() {
		if err != nil {
			closeAll()
		}
	}()
	upstreams := make([]*upstream, 5)
	for i := range upstreams {
		if upstreams[i], err = newUpstream(o.speed, i >= 3); err != nil {
			return nil, nil, err
		}
		closers = append(closers, upstreams[i].Close)
	}
	gateways, stop, err := startGateways(o, upstreams[0].URL, upstreams[1].URL, upstreams[2].URL)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, stop)
	all := []sdk{node, golang, dotnet}
	sides = append(sides, newSide(o, "nothing cached", gateways[0], upstreams[0], all...))
	if o.nginx != "" {
		caches, stop, err := startNginx(ctx, o.nginx, upstreams[3].URL, upstreams[4].URL)
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, stop)
		sides = append(sides,
			newSide(o, "nginx by URL, three SDKs", caches[0], upstreams[3], all...),
			newSide(o, "nginx by URL, one SDK", caches[1], upstreams[4], node))
	}
	sides = append(sides, newSide(o, "caddy-verify", gateways[1], upstreams[1], all...))
	if o.speed == 1 { // a workflow's times are the provider's, and not to be set
		sides = append(sides, newSide(o, "caddy-verify, exclusive", gateways[2], upstreams[2], all...))
	}
	return sides, closeAll, nil
}

// replay lives all lives on all sides at the same time, until every app has seen
// how each ended. It tells the longest time for which the machine stood still.
func replay(ctx context.Context, o options, lives []life, sides []*side) (pause time.Duration, err error) {
	ctx, end := context.WithCancel(ctx)
	start := time.Now()
	var users, apps sync.WaitGroup
	apps.Go(func() { pause = watch(ctx) })
	for _, s := range sides {
		for _, a := range s.apps {
			apps.Go(func() { a.poll(ctx, start) })
		}
		for i, l := range lives {
			users.Go(func() {
				if sleepUntil(ctx, start.Add(o.real(l.begin))) {
					s.live(ctx, o, i, l)
				}
			})
		}
	}
	users.Wait()
	err = wait(ctx, o, sides)
	end()
	apps.Wait()
	return pause, err
}

// wait waits until every app has seen the end of every verification.
func wait(ctx context.Context, o options, sides []*side) error {
	for deadline := time.Now().Add(o.real(pinExpiry) + patience); waiting(sides); {
		if time.Now().After(deadline) {
			return errors.New("an app never saw the end of a verification")
		}
		if !sleepUntil(ctx, time.Now().Add(o.real(pollEvery))) {
			break
		}
	}
	if ctx.Err() != nil {
		return errors.New("stopped before its end")
	}
	return nil
}

// watch measures by how much the machine was late to wake it, at most.
func watch(ctx context.Context) (pause time.Duration) {
	for {
		due := time.Now().Add(10 * time.Millisecond)
		if !sleepUntil(ctx, due) {
			return pause
		}
		pause = max(pause, time.Since(due))
	}
}

func waiting(sides []*side) bool {
	for _, s := range sides {
		for _, a := range s.apps {
			if a.waits() {
				return true
			}
		}
	}
	return false
}

// busy is the seconds over which the busiest time is averaged. Searches that a slow
// machine held up come together afterwards, so a single second would say more of
// the machine than of the cache.
const busy = 10

// report writes the figures as a table in Markdown.
func report(w io.Writer, o options, lives []life, sides []*side, pause time.Duration) {
	second := o.real(time.Second)
	fmt.Fprintf(w, "%d verifications (%s)\n\n", len(lives), fates(lives))
	fmt.Fprint(w, "| side | searches by the apps | searches upstream | upstream, per verification | per second, busiest 10 s | calls over 30/s | stale answers | longest after the check | EXPIRED, seen after |\n")
	fmt.Fprint(w, "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, s := range sides {
		calls, searches := s.upstream.seen()
		n := len(searches)
		fmt.Fprintf(w, "| %s | %d | %d (%.1f %%) | %.1f | %.0f | %d | %d | %s | %s |\n",
			s.name, s.asked, n, 100*float64(n)/float64(s.asked), float64(n)/float64(len(lives)),
			float64(busiest(searches, busy*second))/busy, over(calls, providerLimit, second), s.stale, seconds(s.latest, o.speed), seconds(s.expired, o.speed))
	}
	var slowest time.Duration
	for _, s := range sides {
		slowest = max(slowest, s.slowest)
	}
	fmt.Fprintf(w, "\nThe machine stood still for %s at most; the slowest search took %s.\n",
		pause.Round(time.Millisecond), slowest.Round(time.Millisecond))
	for _, s := range sides {
		if s.late > 0 {
			fmt.Fprintf(w, "\nThe machine was too slow: %s skipped %d rounds of polling.\n", s.name, s.late)
		}
	}
}

// seconds writes a time of the replay as one of life.
func seconds(d time.Duration, speed float64) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f s", d.Seconds()*speed)
}
