//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Memory tells something only when all that the gateway keeps has come to its bounds. Idempotency-Keys and answers that nobody
// got go after ten minutes. The ledger's 100,000 verifications are there after five, and have all been replaced after ten; a
// map of Go's grows by half and more until then, though it has no more entries, since it does not join what it has split.
const (
	soakShort  = 20 * time.Second
	soakWarmUp = 12 * time.Minute
	soakLong   = 20 * time.Minute // from here on, memory counts
	soakMost   = 1.0              // MB/h
)

// soakFaults are what the provider does in the seconds of a minute: most of the time it works, as its circuit breakers and
// the gateway's should have the time to close.
var soakFaults = map[int]string{
	10: "fails", 11: "fails", 20: "hangs", 21: "hangs", 30: "cuts", 31: "cuts", 40: "status 1", 45: "status 5", 46: "status 5",
}

// soakAPI is a Verify API that keeps nothing but counts, so that it can run for long.
type soakAPI struct {
	begun time.Time
	came  sync.Map     // what every call but the searches was about
	twice atomic.Int64 // calls that came a second time
}

func (a *soakAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if r.URL.Path != "/verify/search/json" { // which changes nothing, and may be repeated
		if _, again := a.came.LoadOrStore(r.Form.Get("number")+r.Form.Get("request_id"), true); again {
			a.twice.Add(1)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	answer := witnessed(r.URL.Path, r.Form)
	switch soakFaults[int(time.Since(a.begun).Seconds())%60] {
	case "fails":
		http.Error(w, "out of order", http.StatusServiceUnavailable)
	case "hangs":
		<-r.Context().Done()
	case "cuts":
		w.Header().Set("Content-Length", strconv.Itoa(len(answer)))
		io.WriteString(w, answer[:len(answer)/2])
		panic(http.ErrAbortHandler)
	case "status 1":
		io.WriteString(w, `{"status":"1","error_text":"Throttled"}`)
	case "status 5":
		io.WriteString(w, `{"status":"5","error_text":"Internal Error"}`)
	default:
		io.WriteString(w, answer)
	}
}

// TestSoak runs traffic with faults for as long as E2E_SOAK says. Every answer is one of the API's, no call comes to the
// provider twice, and with twenty minutes or more the gateway's memory does not grow.
func TestSoak(t *testing.T) {
	over := soakShort
	if text := os.Getenv("E2E_SOAK"); text != "" {
		var err error
		if over, err = time.ParseDuration(text); err != nil {
			t.Fatalf("E2E_SOAK: write a duration such as 30m (%v)", err)
		}
	}
	api := &soakAPI{begun: time.Now()}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	address, admin := freeAddress(t), freeAddress(t)
	p := startCaddyfile(t, nil, fmt.Sprintf("{\nadmin %s\npersist_config off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel ERROR\n}\n}\n"+
		"http://%s {\nverify {\nupstream %s\ncredentials %s %s\nlimit off\ntimeout 1s\ncache {\nmax_entries 10000\n}\nbreaker {\nopen_for 500ms\n}\n}\n}\n",
		admin, address, server.URL, gatewayKey, gatewaySecret), address, admin)

	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: patience}
	var mu sync.Mutex
	statuses := map[string]int{}
	ctx, stop := context.WithTimeout(t.Context(), over)
	defer stop()
	readings := make(chan []reading)
	var pause sync.RWMutex // shared by calls, and a reading's alone: what calls under way need is not what is kept
	go func() { readings <- readMemory(ctx, t, &pause, admin, over) }()
	// Half of them start verifications, so that the ledger is full before memory counts.
	made := steady(ctx, 600, func(n int) {
		pause.RLock()
		defer pause.RUnlock()
		path, form := steadyCall(9*(n/4) + []int{0, 6, 7, 8}[n%4])
		header := http.Header{}
		while := t.Context()
		switch {
		case n%100 == 1:
			header.Set("Idempotency-Key", strconv.Itoa(n))
		case n%50 == 7: // a client that leaves
			var leave context.CancelFunc
			while, leave = context.WithTimeout(while, 2*time.Millisecond)
			defer leave()
		}
		code, body, err := postWith(while, client, header, address, path, form)
		status := field(body, "status")
		if while.Err() != nil {
			status = "left"
		} else if err != nil || code != http.StatusOK || !soakStatus.MatchString(status) {
			t.Errorf("call %d: %d %s (%v)", n, code, body, err)
		}
		mu.Lock()
		statuses[status]++
		mu.Unlock()
	})
	after := soakWarmUp
	if over < soakLong {
		after = over / 2
	}
	slope, last := slopeOf(<-readings, after)
	if n := api.twice.Load(); n > 0 {
		t.Errorf("%d calls came to the provider twice", n)
	}
	if statuses["0"] < made/2 || statuses["IN PROGRESS"] == 0 || statuses["5"] == 0 {
		t.Errorf("the statuses were %v", statuses)
	}
	mu.Lock()
	t.Logf("%s, %d calls, by status %v; the heap ends with %.2f MB, and after %s goes by %+.3f MB/h", over, made, maps.Clone(statuses), last, after, slope)
	mu.Unlock()
	if over >= soakLong && slope >= soakMost {
		t.Errorf("memory grows by %.2f MB/h", slope)
	}
	p.interrupt(t)
}

var soakStatus = regexp.MustCompile(`^([015]|IN PROGRESS)$`)

// reading is what the heap holds, in MB, at a time.
type reading struct {
	at time.Duration
	mb float64
}

var heapAlloc = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)$`)

// readMemory stops the traffic, collects the garbage and reads what is left, a few hundred times.
func readMemory(ctx context.Context, t *testing.T, pause *sync.RWMutex, admin string, over time.Duration) (all []reading) {
	tick := time.NewTicker(max(over/400, time.Second))
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return all
		case <-tick.C:
		}
		pause.Lock()
		text, err := heapOf(admin)
		pause.Unlock()
		found := heapAlloc.FindSubmatch(text)
		if err != nil || found == nil {
			t.Errorf("the heap's profile does not tell what is on it (%v)", err)
			return all
		}
		all = append(all, reading{time.Since(begun), number(string(found[1])) / 1e6})
		if len(all)%20 == 0 {
			t.Logf("after %s: %.2f MB", all[len(all)-1].at.Round(time.Second), all[len(all)-1].mb)
		}
	}
}

// heapOf is the profile of the heap after the garbage is collected, twice: what a pool held is gone by the second time.
func heapOf(admin string) (text []byte, err error) {
	for range 2 {
		response, err := http.Get("http://" + admin + "/debug/pprof/heap?gc=1&debug=1")
		if err != nil {
			return nil, err
		}
		text, err = io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	return text, nil
}

// slopeOf is the least-squares slope of what was read after a time, in MB/h, and the last reading.
func slopeOf(all []reading, after time.Duration) (slope, last float64) {
	var n, x, y, xx, xy float64
	for _, r := range all {
		if r.at < after {
			continue
		}
		h := r.at.Hours()
		n, x, y, xx, xy, last = n+1, x+h, y+r.mb, xx+h*h, xy+h*r.mb, r.mb
	}
	if n < 2 {
		return 0, last
	}
	return (n*xy - x*y) / (n*xx - x*x), last
}
