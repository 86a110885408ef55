package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// memory is some of runtime.MemStats.
type memory struct {
	HeapAlloc, PauseTotalNs uint64
	NumGC                   uint32
}

// callsPerSecond is what caddy-verify's limit lets through by default, half of it
// requests and half of it their checks.
const callsPerSecond = 28

// soaks loads caddy-verify with hits, and with as many other calls as the provider
// takes, and respond in turn for comparison; the other calls go on meanwhile. It
// tells of memory each minute.
func (b *bench) soaks(ctx context.Context, w io.Writer) (err error) {
	if err := b.prepare(ctx, b.workloads); err != nil {
		return err
	}
	fmt.Fprint(w, "| time | RSS, MiB | heap, MiB | collections | pauses, ms |\n|---:|---:|---:|---:|---:|\n")
	if err := b.remember(ctx, w, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		if err != nil {
			err = cmp.Or(context.Cause(ctx), err)
		}
	}()
	go func() { cancel(b.trickle(ctx)) }()
	tails := map[figure][]float64{}
	begun, told := time.Now(), time.Duration(0)
	for time.Since(begun) < b.soak {
		for _, load := range b.workloads {
			for _, name := range load.sides {
				r, err := b.run(ctx, load, name, b.time)
				if err != nil {
					return err
				}
				of := figure{load.name, name}
				tails[of] = append(tails[of], float64(r.P9999)/1000)
			}
		}
		if took := time.Since(begun).Truncate(time.Minute); took > told && took < b.soak {
			told = took
			if err := b.remember(ctx, w, told); err != nil {
				return err
			}
		}
	}
	if err := b.remember(ctx, w, time.Since(begun).Round(time.Second)); err != nil {
		return err
	}
	fmt.Fprintln(w, "\np99.99, ms:")
	for _, load := range b.workloads {
		for _, name := range load.sides {
			fmt.Fprintf(w, "- %s, %s: %s\n", load.name, name, spreadOf(tails[figure{load.name, name}]).format(2))
		}
	}
	return nil
}

// trickle makes the other calls, until ctx ends.
func (b *bench) trickle(ctx context.Context) error {
	const run = 9999 // of no run of wrk
	s := b.sides["caddy-verify"]
	ticker := time.NewTicker(2 * time.Second / callsPerSecond)
	defer ticker.Stop()
	for serial := 0; ; serial++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		tag := fmt.Sprintf("%04d%08d", run, serial)
		err := want(ctx, s.url+"/verify/json", "number=447700900000&brand=Acme+"+tag, started(tag))
		if err == nil {
			err = want(ctx, s.url+"/verify/check/json", "request_id="+idPrefix+tag+"&code=1234", checked(tag))
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// remember writes a line on caddy-verify's memory.
func (b *bench) remember(ctx context.Context, w io.Writer, at time.Duration) error {
	s := b.sides["caddy-verify"]
	now, err := used(s.process.pid())
	if err != nil {
		return err
	}
	m, err := s.memory(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "| %s | %d | %d | %d | %.1f |\n", at, now.rss>>20, m.HeapAlloc>>20, m.NumGC, float64(m.PauseTotalNs)/1e6)
	return err
}

// memory asks Caddy what Go counts.
func (s *side) memory(ctx context.Context) (memory, error) {
	text, err := ask(ctx, "", "http://"+s.admin+"/debug/vars", "")
	if err != nil {
		return memory{}, err
	}
	var vars struct{ Memstats memory }
	err = json.Unmarshal([]byte(text), &vars)
	return vars.Memstats, err
}
