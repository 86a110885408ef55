package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// profiles takes a CPU profile of every side of Caddy under some workloads, in a
// run of its own.
func (b *bench) profiles(ctx context.Context, all []workload) error {
	if err := os.MkdirAll(b.profile, 0o755); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: profiles.\n", all[0].name)
	for _, w := range all {
		for _, name := range w.sides {
			s := b.sides[name]
			if s.admin == "" {
				continue
			}
			var profile string
			var failed error
			done := make(chan struct{})
			go func() {
				defer close(done)
				profile, failed = s.cpuProfile(ctx, b.time)
			}()
			// The run begins and ends a little outside of the profile.
			_, err := b.run(ctx, w, name, b.time+time.Second)
			<-done
			if err != nil {
				return err
			}
			if failed != nil {
				return fmt.Errorf("profile of %s: %w", name, failed)
			}
			if err := os.WriteFile(filepath.Join(b.profile, w.name+"-"+name+".pprof"), []byte(profile), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// cpuProfile takes as long as it says.
func (s *side) cpuProfile(ctx context.Context, d time.Duration) (string, error) {
	return ask(ctx, "", fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.admin, int(d.Seconds())), "")
}
