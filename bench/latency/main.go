// Command latency measures how much later an answer comes through the gateway: calls made one after the other, each
// directly, through Caddy's reverse_proxy and through caddy-verify in turn.
//
//	go run -C bench ./latency
//
// All listens on loopback, so that the way to the provider takes next to nothing, and what is left is the gateway's.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile" // the adapter
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	"github.com/caddyverify/caddy-verify/bench/internal/loopback"
	_ "github.com/caddyverify/caddy-verify/caddyverify"
	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

const (
	key    = "abcdef01"
	secret = "secret-of-the-gateway"
	code   = "1234"
	// warmUp is how many verifications are not counted.
	warmUp = 200
)

const caddyfile = `{
	admin off
	persist_config off
	auto_https off
	storage file_system {storage}
	log {
		level PANIC
	}
}
http://{proxy} {
	bind 127.0.0.1
	reverse_proxy {upstream} {
		header_up Authorization "Basic {basic}"
	}
}
http://{gateway} {
	bind 127.0.0.1
	verify {
		upstream {upstream}
		credentials {key} {secret}
		limit off
	}
}
`

func main() {
	n := flag.Int("verifications", 3000, "how many verifications are made on each side")
	flag.Parse()
	if *n < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "latency: -verifications is above 0, and there is nothing else")
		os.Exit(2)
	}
	if err := run(*n, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "latency:", err)
		os.Exit(1)
	}
}

// side is a way to the sandbox, and how long its calls took, by the names of operations.
type side struct {
	name, url string
	client    http.Client
	took      map[string][]time.Duration
}

// operations are those measured, in the order of a verification. The second search is
// answered from memory where there is one.
var operations = [...]string{"request", "search", "search again", "check"}

func run(n int, w io.Writer) error {
	api, err := sandbox.New(sandbox.Config{APIKey: key, APISecret: secret, Code: code, Limit: -1, Record: -1})
	if err != nil {
		return err
	}
	upstream := httptest.NewServer(api)
	defer upstream.Close()
	storage, err := os.MkdirTemp("", "caddy-verify-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(storage)
	var proxy, gateway string
	if err := loopback.Free(&proxy, &gateway); err != nil {
		return err
	}
	basic := new(http.Request)
	basic.Header = http.Header{}
	basic.SetBasicAuth(key, secret)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(strings.NewReplacer(
		"{storage}", storage, "{proxy}", proxy, "{gateway}", gateway, "{upstream}", upstream.URL, "{key}", key, "{secret}", secret,
		"{basic}", strings.TrimPrefix(basic.Header.Get("Authorization"), "Basic "),
	).Replace(caddyfile)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	defer caddy.Stop() //nolint:errcheck // nothing is left to be saved

	sides := []*side{{name: "direct", url: upstream.URL}, {name: "reverse_proxy", url: "http://" + proxy}, {name: "caddy-verify", url: "http://" + gateway}}
	for _, s := range sides {
		s.took = map[string][]time.Duration{}
		s.client.Transport = &http.Transport{MaxIdleConnsPerHost: 1}
		s.client.Timeout = 10 * time.Second
	}
	for i := range n + warmUp {
		for turn := range sides {
			s := sides[(i+turn)%len(sides)]
			if err := s.verify(fmt.Sprintf("447710%06d", i*len(sides)+turn), i >= warmUp); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	report(w, sides)
	return nil
}

// verify takes a verification from its request to its end.
func (s *side) verify(number string, counts bool) error {
	var id string
	for _, o := range operations {
		path, form := "/verify/search/json", "request_id="+id
		switch o {
		case "request":
			path, form = "/verify/json", "brand=Acme&number="+number
		case "check":
			path, form = "/verify/check/json", form+"&code="+code
		}
		begun := time.Now()
		body, err := s.call(path, form)
		took := time.Since(begun)
		if err != nil {
			return err
		}
		if !strings.Contains(body, `"0"`) && !strings.Contains(body, "IN PROGRESS") {
			return fmt.Errorf("a %s is answered %s", o, body)
		}
		if o == "request" {
			_, after, _ := strings.Cut(body, `"request_id":"`)
			id, _, _ = strings.Cut(after, `"`)
		}
		if counts {
			s.took[o] = append(s.took[o], took)
		}
	}
	return nil
}

func (s *side) call(path, form string) (body string, err error) {
	var r *http.Request
	if strings.Contains(path, "search") {
		r, err = http.NewRequest(http.MethodGet, s.url+path+"?"+form, nil) //nolint:noctx // the client has a timeout
	} else {
		r, err = http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form)) //nolint:noctx // the same
	}
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(key, secret)
	response, err := s.client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(text), err
}

// report prints a table, in which added is what a side takes beyond the direct way.
func report(w io.Writer, sides []*side) {
	fmt.Fprintln(w, "| call | side | p50, ms | p99, ms | added p50, ms | added p99, ms |\n|---|---|---:|---:|---:|---:|")
	for _, o := range operations {
		for _, s := range sides {
			p50, p99 := quantile(s.took[o], .5), quantile(s.took[o], .99)
			added := "– | –"
			if s != sides[0] {
				added = ms(p50-quantile(sides[0].took[o], .5)) + " | " + ms(p99-quantile(sides[0].took[o], .99))
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", o, s.name, ms(p50), ms(p99), added)
		}
	}
}

func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(q*float64(len(sorted)-1))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
