// Command store measures what sharing a store costs: calls made one after the other through a gateway without a store and
// through one with it in turn, what they ask of the store, and how soon a gateway knows of a check that another has made.
//
//	go run -C bench ./store
//
// It needs redis-server. All listens on loopback: what is left is the work, and the turns of the scheduler.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	key    = "abcdef01"
	secret = "secret-of-the-gateway"
	code   = "1234"
)

const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	log {
		level PANIC
	}
	{store}
}
http://{address} {
	bind 127.0.0.1
	verify {
		upstream {upstream}
		credentials {key} {secret}
		limit 1000/s
	}
}
`

const storeOptions = `verify {
		store redis {
			address {redis}
			encryption_key {env.STORE_KEY}
		}
	}`

func main() {
	n := flag.Int("calls", 2000, "how many calls of a kind are made on each side")
	flag.Parse()
	if *n < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "store: -calls is above 0, and there is nothing else")
		os.Exit(2)
	}
	if err := run(*n, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "store:", err)
		os.Exit(1)
	}
}

// side is a gateway.
type side struct {
	name, url string
	client    http.Client
	took      map[string][]time.Duration
}

// bench is what is measured: a gateway that is alone, and two that share a store.
type bench struct {
	alone, shared, other *side
	watch                *monitor
	api                  *sandbox.Sandbox
	numbers              int
}

func run(n int, w io.Writer) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "caddy-verify-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	api, err := sandbox.New(sandbox.Config{APIKey: key, APISecret: secret, Code: code, Limit: -1, Record: -1})
	if err != nil {
		return err
	}
	upstream := httptest.NewServer(api)
	defer upstream.Close()
	caddy := filepath.Join(dir, "caddy")
	build := exec.Command("go", "build", "-o", caddy, "./cmd/caddy")
	build.Dir = ".."
	if wd, err := os.Getwd(); err == nil && filepath.Base(wd) == "store" { // a test of it
		build.Dir = "../.."
	}
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building cmd/caddy: %w\n%s", err, out)
	}
	var redis, alone, shared, other string
	if err := loopback.Free(&redis, &alone, &shared, &other); err != nil {
		return err
	}
	_, port, _ := strings.Cut(redis, ":")
	stop, err := start(ctx, redis, nil, "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", dir)
	if err != nil {
		return fmt.Errorf("redis-server: %w", err)
	}
	defer stop()
	b := &bench{api: api, alone: newSide("alone", alone), shared: newSide("shared", shared), other: newSide("other", other)}
	for _, s := range []*side{b.alone, b.shared, b.other} {
		store := storeOptions
		if s == b.alone {
			store = ""
		}
		address := strings.TrimPrefix(s.url, "http://")
		text := strings.NewReplacer("{redis}", redis, "{address}", address, "{upstream}", upstream.URL, "{key}", key, "{secret}", secret).
			Replace(strings.ReplaceAll(caddyfile, "{store}", store))
		config := filepath.Join(dir, s.name)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return err
		}
		env := []string{"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "STORE_KEY=" + strings.Repeat("a key of a benchmark ", 2) + "."}
		stop, err := start(ctx, address, env, caddy, "run", "--config", config, "--adapter", "caddyfile")
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer stop()
	}
	time.Sleep(3 * time.Second) // the store opens the rate to those that it knows
	if b.watch, err = watch(redis); err != nil {
		return err
	}
	defer b.watch.close()
	if err := b.watch.learn(4 * time.Second); err != nil {
		return err
	}
	return b.measure(n, w)
}

func newSide(name, address string) *side {
	s := &side{name: name, url: "http://" + address, took: map[string][]time.Duration{}}
	s.client.Transport = &http.Transport{MaxIdleConnsPerHost: 1}
	s.client.Timeout = 10 * time.Second
	return s
}

// start runs a program and waits until it listens.
func start(ctx context.Context, address string, env []string, words ...string) (stop func(), err error) {
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Env = append(os.Environ(), env...)
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		_ = command.Wait() // it is ended by a signal
		close(exited)
	}()
	stop = func() {
		_ = command.Process.Signal(os.Interrupt) // unless it has ended
		<-exited
	}
	if err := loopback.Wait(address, exited); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// kinds are the calls that are measured. Each is made once at every step of the loop, but for those that are over soonest: of
// these, hits are made one after the other.
var kinds = []string{inMemory, elsewhere, nowhere, request, keyed, check}

const (
	inMemory  = "search in memory"
	elsewhere = "search that another gateway has made"
	nowhere   = "search that nobody has made"
	request   = "request"
	keyed     = "request with an Idempotency-Key"
	check     = "check"

	hits = 20
)

// measure makes the calls in turn, and then each kind by itself, to count what it asks of the store.
func (b *bench) measure(n int, w io.Writer) error {
	const warmUp = 50
	for i := range n + warmUp {
		sides := []*side{b.alone, b.shared}
		if i%2 == 1 {
			slices.Reverse(sides)
		}
		if i == warmUp {
			for _, s := range sides {
				clear(s.took)
			}
		}
		for _, s := range sides {
			for _, kind := range kinds {
				if err := b.one(s, kind); err != nil {
					return fmt.Errorf("%s, %s: %w", s.name, kind, err)
				}
			}
		}
	}
	asked := map[string]float64{}
	for _, kind := range kinds {
		own, err := b.count(kind, min(n, 300))
		if err != nil {
			return err
		}
		asked[kind] = own
	}
	fmt.Fprintln(w, "| call | alone p50, ms | p99, ms | with a store p50, ms | p99, ms | ratio p50 | added p50, ms | store's commands |\n|---|---:|---:|---:|---:|---:|---:|---:|")
	for _, kind := range kinds {
		alone, shared := b.alone.took[kind], b.shared.took[kind]
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %.2f | %s | %.2f |\n", kind, ms(quantile(alone, .5)), ms(quantile(alone, .99)),
			ms(quantile(shared, .5)), ms(quantile(shared, .99)), float64(quantile(shared, .5))/float64(quantile(alone, .5)),
			ms(quantile(shared, .5)-quantile(alone, .5)), asked[kind])
	}
	for _, takes := range []time.Duration{0, 50 * time.Millisecond} {
		if takes > 0 {
			if err := b.api.SetFaults(sandbox.Fault{Operation: "check", Kind: "delay", Value: takes.String()}); err != nil {
				return err
			}
		}
		if err := b.evict(min(n, 1000), takes, w); err != nil {
			return err
		}
	}
	return nil
}

// count makes calls of a kind at the gateway with a store, and tells how many commands of the store each takes, those before it
// left out.
func (b *bench) count(kind string, n int) (float64, error) {
	var commands int
	for range n {
		before, err := b.prepare(b.shared, kind)
		if err != nil {
			return 0, err
		}
		time.Sleep(3 * time.Millisecond) // what is not waited for
		b.watch.take()
		if err := b.shared.timed(kind, before); err != nil {
			return 0, err
		}
		time.Sleep(3 * time.Millisecond)
		commands += b.watch.take()
	}
	return float64(commands) / float64(n), nil
}

func (b *bench) one(s *side, kind string) error {
	c, err := b.prepare(s, kind)
	if err != nil {
		return err
	}
	times := 1
	if kind == inMemory {
		time.Sleep(2 * time.Millisecond) // what came before is done
		times = hits
	}
	for range times {
		if err := s.timed(kind, c); err != nil {
			return err
		}
	}
	return nil
}

// evict has one gateway check what the other has in memory, and asks that one until it knows.
func (b *bench) evict(n int, takes time.Duration, w io.Writer) error {
	var took []time.Duration
	stale := 0
	for range n {
		c, err := b.prepare(b.shared, nowhere)
		if err != nil {
			return err
		}
		for range 2 { // from memory
			if _, err := b.shared.call(c); err != nil {
				return err
			}
		}
		if _, err := b.other.call(call{path: "/verify/check/json", form: c.form + "&code=" + code, want: `"status":"0"`}); err != nil {
			return err
		}
		begun := time.Now()
		for c.want = "request_id"; ; {
			body, err := b.shared.call(c)
			if err != nil {
				return err
			}
			if strings.Contains(body, "SUCCESS") {
				break
			}
			stale++
		}
		took = append(took, time.Since(begun))
	}
	fmt.Fprintf(w, "\nAfter another gateway's check that took the provider %s: told the state from before it %d times in %d, the new one after %s ms (p50), %s ms (p99).\n",
		takes, stale, n, ms(quantile(took, .5)), ms(quantile(took, .99)))
	return nil
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
