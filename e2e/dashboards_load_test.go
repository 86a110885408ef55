//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	loadCode = "4711"
	loadKey  = "load-key"
	loadPass = "load-secret-of-the-account"
)

// load is applications that start twenty verifications a second, and what they have learnt.
type load struct {
	t       *testing.T
	client  *http.Client
	address string
	mute    atomic.Value  // the country whose users get no message
	trouble atomic.Bool   // the provider is in trouble, and applications give up
	pause   time.Duration // before a call is made again

	mu   sync.Mutex
	seen map[string]float64 // by what, in the order of the dashboards' words
	ends sync.WaitGroup
	n    int
}

var loadCountries = []struct{ name, prefix string }{{"GB", "447712"}, {"DE", "4915123"}, {"FR", "336121"}}

// startLoaded starts a gateway for a load, which serves its metrics, too.
func startLoaded(t *testing.T, provider, key, settings string, env ...string) (address string) {
	t.Helper()
	return startLoadedWith(t, "", provider, key, settings, env...)
}

// startLoadedWith has a store, if its address is given.
func startLoadedWith(t *testing.T, redis, provider, key, settings string, env ...string) (address string) {
	t.Helper()
	store := ""
	if redis != "" {
		env = append(env, "E2E_STORE_KEY="+strings.Repeat("key of the store ", 3)+"!")
		store = "store redis {\naddress " + redis + "\nencryption_key {env.E2E_STORE_KEY}\n}"
	}
	address = freeAddress(t)
	startCaddyfile(t, append(env, "E2E_LOAD_SECRET="+loadPass), fmt.Sprintf(`{
		admin off
		persist_config off
		auto_https off
		default_bind 127.0.0.1
		log default {
			level ERROR
		}
		verify {
			%s
			callers {
				caller checkout {http.request.header.X-App} checkout
				unknown shared
			}
		}
	}
	http://%s {
		metrics /metrics
		verify {
			upstream %s
			credentials %s {env.E2E_LOAD_SECRET}
			settle
			%s
		}
	}
	`, store, address, provider, key, settings), address)
	return address
}

func newLoad(t *testing.T, address string) *load {
	l := &load{t: t, address: address, client: &http.Client{Timeout: patience}, pause: 200 * time.Millisecond, seen: map[string]float64{}}
	l.mute.Store("")
	return l
}

// run starts verifications for so long. It returns before the last have ended.
func (l *load) run(d time.Duration) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(d); time.Now().Before(until); <-tick.C {
		n := l.n
		l.n++
		l.ends.Go(func() { l.verify(n) })
		if n%20 == 0 {
			l.ends.Go(func() { l.refused() })
		}
	}
}

func (l *load) count(what string, by float64) {
	l.mu.Lock()
	l.seen[what] += by
	l.mu.Unlock()
}

func (l *load) saw(what string) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[what]
}

// wrong tells of what should not be, unless the provider is in trouble.
func (l *load) wrong(format string, args ...any) {
	if !l.trouble.Load() {
		l.t.Errorf(format, args...)
	}
}

// told is what applications read of an answer.
type told struct {
	RequestID string `json:"request_id"`
	Status    string
	Price     string
	Messages  string `json:"estimated_price_messages_sent"`
	hit       bool
}

// call makes a call again until it is answered without trouble.
func (l *load) call(path string, params url.Values) (*told, error) {
	for begun := time.Now(); ; time.Sleep(l.pause) {
		r, err := http.NewRequest(http.MethodPost, "http://"+l.address+path, strings.NewReader(params.Encode()))
		if err != nil {
			return nil, err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-App", "checkout")
		response, err := l.client.Do(r)
		if err != nil {
			return nil, err
		}
		var answer told
		err = json.NewDecoder(response.Body).Decode(&answer)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		answer.hit = strings.Contains(response.Header.Get("Cache-Status"), "; hit")
		if path == "/verify/json" {
			l.count("requests", 1)
			l.count("requests "+answer.Status, 1)
		}
		if !strings.Contains(" 1 4 5 ", " "+answer.Status+" ") {
			return &answer, nil
		}
		if since := time.Since(begun); since > patience || since > 2*time.Second && l.trouble.Load() {
			return nil, fmt.Errorf("%s is answered with status %s to the end", path, answer.Status)
		}
	}
}

func (l *load) refused() {
	if answer, err := l.call("/verify/json", url.Values{"number": {"447700900103"}, "brand": {"Acme"}}); err != nil || answer.Status != "3" {
		l.wrong("a request for no number: %v, %v", answer, err)
	}
}

// verify plays the n-th verification: of ten, eight succeed, one of these after a wrong code, one fails and one is cancelled.
func (l *load) verify(n int) {
	country := loadCountries[n%len(loadCountries)]
	params := url.Values{"number": {fmt.Sprintf("%s%06d", country.prefix, 100000+n)}, "brand": {"Acme"}}
	if n%5 == 0 {
		params.Set("workflow_id", "4")
	}
	begun, err := l.call("/verify/json", params)
	if err != nil || begun.Status != "0" {
		l.wrong("verification %d: %v, %v", n, begun, err)
		return
	}
	l.count("started "+country.name, 1)
	l.count("started", 1)
	if l.mute.Load() == country.name {
		return
	}
	id := url.Values{"request_id": {begun.RequestID}}
	outcome, codes, end := "success", []string{loadCode}, "0"
	switch n % 10 {
	case 3:
		codes = []string{"0000", loadCode}
	case 8:
		outcome, codes, end = "failed", []string{"0000", "0000", "0000"}, "17"
	case 9:
		outcome, codes, end = "cancelled", nil, ""
		time.Sleep(3500 * time.Millisecond) // half a minute of the sandbox's
		if answer, err := l.call("/verify/control/json", url.Values{"request_id": {begun.RequestID}, "cmd": {"cancel"}}); err != nil || answer.Status != "0" {
			l.wrong("verification %d: cancelled with %v, %v", n, answer, err)
			return
		}
	}
	var last *told
	for _, code := range codes {
		if last, err = l.call("/verify/check/json", url.Values{"request_id": {begun.RequestID}, "code": {code}}); err != nil {
			l.wrong("verification %d: %v", n, err)
			return
		}
	}
	if last != nil && last.Status != end {
		l.wrong("verification %d: the last check has status %s, want %s", n, last.Status, end)
		return
	}
	l.count(outcome+" "+country.name, 1)
	l.count(outcome, 1)
	if len(codes) > 0 {
		l.count("code entered", 1)
	}
	if outcome == "success" {
		l.count("spent", number(last.Price)+number(last.Messages))
	}
	if n%4 == 0 {
		time.Sleep(300 * time.Millisecond)
		for range 3 {
			answer, err := l.call("/verify/search/json", id)
			if err != nil {
				l.wrong("verification %d: %v", n, err)
				return
			}
			l.count("searches", 1)
			if answer.hit {
				l.count("hits", 1)
			}
		}
	}
}

func number(text string) float64 {
	value, _ := strconv.ParseFloat(text, 64)
	return value
}
