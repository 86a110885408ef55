//go:build e2e

package e2e

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/sandbox"
)

// TestNoisyNeighbour has one caller flood an account with all it can, and another make a few calls of each kind. These
// are answered as if it were alone. E2E_FLOOD=full floods as docs/testing.md says.
func TestNoisyNeighbour(t *testing.T) {
	scale, lasts := 4, 8*time.Second
	if os.Getenv("E2E_FLOOD") == "full" {
		scale, lasts = 1, 30*time.Second
	}
	api, err := sandbox.New(sandbox.Config{APIKey: gatewayKey, APISecret: gatewaySecret, Limit: -1, Record: -1})
	if err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(api)
	t.Cleanup(provider.Close)
	address := freeAddress(t)
	startCaddyfile(t, nil, strings.NewReplacer("{address}", address, "{provider}", provider.URL, "{key}", gatewayKey, "{secret}", gatewaySecret).Replace(`{
		admin off
		persist_config off
		auto_https off
		log default {
			level ERROR
		}
		verify {
			callers {
				caller quiet {http.request.header.X-App} quiet
				caller noisy {http.request.header.X-App} noisy
			}
		}
	}
	http://{address} {
		bind 127.0.0.1
		verify {
			upstream {provider}
			credentials {key} {secret}
		}
	}`), address)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	t.Cleanup(client.CloseIdleConnections)
	call := func(app, path string, form url.Values) (limited bool) {
		r, err := http.NewRequest(http.MethodPost, "http://"+address+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Error(err)
			return false
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("X-App", app)
		response, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return false
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return strings.Contains(response.Header.Get("Proxy-Status"), "limit_reached")
	}
	var (
		calls sync.WaitGroup
		mu    sync.Mutex
		took  = map[string][]time.Duration{}
		shed  = map[string]int{}
	)
	// kind makes calls of one kind, so many a second.
	kind := func(app, path string, perSecond int, form func(n int) url.Values) {
		calls.Go(func() {
			ticker := time.NewTicker(time.Second / time.Duration(perSecond))
			defer ticker.Stop()
			for n, until := 0, time.Now().Add(lasts); time.Now().Before(until); n++ {
				<-ticker.C
				calls.Go(func() {
					begun := time.Now()
					limited := call(app, path, form(n))
					mu.Lock()
					defer mu.Unlock()
					took[app+" "+path] = append(took[app+" "+path], time.Since(begun))
					if limited {
						shed[app+" "+path]++
					}
				})
			}
		})
	}
	unused := func() string {
		id := make([]byte, 16)
		_, _ = rand.Read(id)
		return hex.EncodeToString(id)
	}
	request := func(prefix string) func(int) url.Values {
		return func(n int) url.Values {
			return url.Values{"number": {fmt.Sprintf("%s%05d", prefix, n)}, "brand": {"Acme"}}
		}
	}
	search := func(int) url.Values { return url.Values{"request_id": {unused()}} }
	check := func(int) url.Values { return url.Values{"request_id": {unused()}, "code": {"1234"}} }
	for app, rates := range map[string][3]int{"noisy": {150 / scale, 1000 / scale, 1000 / scale}, "quiet": {3, 3, 3}} {
		kind(app, "/verify/json", rates[0], request(map[string]string{"noisy": "4477131", "quiet": "4477132"}[app]))
		kind(app, "/verify/search/json", rates[1], search)
		kind(app, "/verify/check/json", rates[2], check)
	}
	calls.Wait()
	for _, path := range []string{"/verify/json", "/verify/search/json", "/verify/check/json"} {
		quiet, noisy := took["quiet "+path], took["noisy "+path]
		slices.Sort(quiet)
		t.Logf("%s: of %d calls %d were answered, p99 %v; of the noisy one's %d calls %d", path,
			len(quiet), len(quiet)-shed["quiet "+path], quiet[len(quiet)*99/100], len(noisy), len(noisy)-shed["noisy "+path])
		if answered := len(quiet) - shed["quiet "+path]; answered*100 < len(quiet)*90 {
			t.Errorf("%s: of %d calls %d were answered", path, len(quiet), answered)
		}
		if shed["noisy "+path] == 0 {
			t.Errorf("%s: there was no flood", path)
		}
	}
}
