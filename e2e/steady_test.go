//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// witness is a Verify API that answers every call with success and counts each form that it gets. Every call of a test has
// a number, code or id that no other has, so that a form tells which call it is.
type witness struct {
	URL  string
	hold time.Duration // from a form to its answer: as a provider does, and so that calls are under way when something happens

	mu       sync.Mutex
	came     map[string]int  // how often, by form
	answered map[string]bool // written whole, as far as the witness knows
	underWay atomic.Int32
}

func startWitness(t *testing.T, hold time.Duration) *witness {
	t.Helper()
	w := &witness{hold: hold, came: map[string]int{}, answered: map[string]bool{}}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.URL = server.URL
	return w
}

func (u *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, credential := range []string{"api_key", "api_secret"} {
		r.Form.Del(credential)
	}
	call := r.URL.Path + "?" + r.Form.Encode()
	u.mu.Lock()
	u.came[call]++
	u.mu.Unlock()
	u.underWay.Add(1)
	defer u.underWay.Add(-1)
	time.Sleep(u.hold)
	w.Header().Set("Content-Type", "application/json")
	_, err := io.WriteString(w, witnessed(r.URL.Path, r.Form))
	if flushed := http.NewResponseController(w).Flush(); err == nil && flushed == nil {
		u.mu.Lock()
		u.answered[call] = true
		u.mu.Unlock()
	}
}

// witnessed is the answer to a call: it names what the call is about.
func witnessed(path string, form url.Values) string {
	id := form.Get("request_id")
	switch path {
	case "/verify/json":
		return fmt.Sprintf(`{"request_id":"%032s","status":"0"}`, form.Get("number"))
	case "/verify/check/json":
		return fmt.Sprintf(`{"request_id":"%s","event_id":"0A00000012345678","status":"0","price":"0.10000000","currency":"EUR"}`, id)
	}
	return fmt.Sprintf(`{"request_id":"%s","account_id":"%s","number":"447700900000","sender_id":"Acme","date_submitted":"2026-01-02 03:04:05",`+
		`"status":"IN PROGRESS","checks":[],"price":"0.10000000","currency":"EUR"}`, id, gatewayKey)
}

// steadyCall is the n-th of a test's calls: a request, a check and a search in turn.
func steadyCall(n int) (path string, form url.Values) {
	switch id := fmt.Sprintf("%032x", n); n % 3 {
	case 0:
		return "/verify/json", url.Values{"number": {fmt.Sprintf("4477%08d", n)}, "brand": {"Acme"}}
	case 1:
		return "/verify/check/json", url.Values{"request_id": {id}, "code": {"1234"}}
	default:
		return "/verify/search/json", url.Values{"request_id": {id}}
	}
}

// told tells how often a call came, and whether its answer was written.
func (u *witness) told(path string, form url.Values) (came int, answered bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	call := path + "?" + form.Encode()
	return u.came[call], u.answered[call]
}

// calls is how many calls of clients came. Lists of the gateway's own, in which it asks for what several search for, are none:
// the witness knows no such call, and each is asked for alone then.
func (u *witness) calls() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for call := range u.came {
		if !strings.Contains(call, "request_ids=") {
			n++
		}
	}
	return n
}

// steady makes so many calls a second until it is stopped, each at its time, whether or not those before it are answered: but
// 256 at once, since a machine that stands still for a second would otherwise make more than a gateway takes of one caller.
func steady(ctx context.Context, perSecond int, call func(n int)) (made int) {
	var running sync.WaitGroup
	defer running.Wait()
	places := make(chan struct{}, 256)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for {
		for due := int(time.Since(begun).Seconds() * float64(perSecond)); made < due; made++ {
			n := made
			places <- struct{}{}
			running.Go(func() {
				defer func() { <-places }()
				call(n)
			})
		}
		select {
		case <-ctx.Done():
			return made
		case <-tick.C:
		}
	}
}

// postTo makes a call and returns the whole answer. An error says that the answer did not come, or not to its end.
func postTo(ctx context.Context, client *http.Client, address, path string, form url.Values) (code int, body string, err error) {
	return postWith(ctx, client, http.Header{}, address, path, form)
}

func postWith(ctx context.Context, client *http.Client, header http.Header, address, path string, form url.Values) (code int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

// all is how many calls came, repetitions included.
func (u *witness) all() (n int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, times := range u.came {
		n += times
	}
	return n
}
