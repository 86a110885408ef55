//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// TestFleetSecrets looks at all that lies in the store while a fleet works: no number, code, request_id, name or secret is in
// it, and everything is gone in time.
func TestFleetSecrets(t *testing.T) {
	f := startFleet(t, "limit 200/s\ntimeout 5s", -1, 10*time.Millisecond)
	f.together()
	pace := time.NewTicker(time.Second / 200)
	defer pace.Stop()
	s := newScript(f, 2, pace.C)
	var telling sync.WaitGroup
	for n := range 48 {
		telling.Go(func() { s.tell(n) })
	}
	looked := make(chan map[string]string)
	done := make(chan struct{})
	go func() { looked <- f.look(done) }()
	telling.Wait()
	close(done)
	all := <-looked
	s.settle()
	var text strings.Builder
	for key, value := range all {
		text.WriteString(key + "\n" + value + "\n")
	}
	t.Logf("%d keys with %d bytes in them", len(all), text.Len())
	clear := []string{
		gatewayKey, gatewaySecret, fleetStoreKey, fleetCode, "WRONG1", "Acme", "key-of-request", "key-of-check", "key-of-control", "probe-",
	}
	clear = append(clear, fleetApps...)
	for name := range s.sent {
		clear = append(clear, strings.Fields(name)[1]) // numbers and request_ids
	}
	for _, v := range s.all {
		clear = append(clear, v.id)
	}
	slices.Sort(clear)
	for _, one := range slices.Compact(clear) {
		if strings.Contains(text.String(), one) {
			t.Errorf("%q lies in the store in clear", one) // however busy the machine is
		}
	}
	for _, m := range f.members {
		said := m.process.output.String()
		for _, secret := range []string{gatewaySecret, fleetStoreKey, fleetCode, "WRONG1", "key-of-request", "key-of-check", "key-of-control"} {
			if strings.Contains(said, secret) {
				t.Errorf("a gateway has said %q", secret)
			}
		}
		for name := range s.sent {
			if word := strings.Fields(name)[1]; strings.HasPrefix(word, "4477") && strings.Contains(said, word) {
				t.Errorf("a gateway has said a number, %s", word)
			}
		}
	}
	if len(s.all) < 30 || len(all) < 2*len(s.all) {
		t.Errorf("%d verifications have left %d keys: there is too little to look at", len(s.all), len(all))
	}
}

// look collects all keys that were ever seen and the latest of what is in them until it is done. None may live for ever.
func (f *fleet) look(done <-chan struct{}) map[string]string {
	all := map[string]string{}
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{f.redis.address}, DisableCache: true})
	if err != nil {
		f.fault("%v", err)
		return nil
	}
	defer c.Close()
	ctx := f.t.Context()
	// Compressed strings would hide what is in them.
	if err := c.Do(ctx, c.B().ConfigSet().ParameterValue().ParameterValue("rdbcompression", "no").Build()).Error(); err != nil {
		f.fault("%v", err)
	}
	for last := false; ; {
		for cursor := uint64(0); ; {
			page, err := c.Do(ctx, c.B().Scan().Cursor(cursor).Count(1000).Build()).AsScanEntry()
			if err != nil {
				f.fault("%v", err)
				return all
			}
			for _, key := range page.Elements {
				value, err := c.Do(ctx, c.B().Dump().Key(key).Build()).ToString()
				if err != nil {
					continue // it is gone
				}
				all[key] += value
				if ttl, err := c.Do(ctx, c.B().Pttl().Key(key).Build()).AsInt64(); err != nil || ttl == -1 || ttl > (25*time.Hour).Milliseconds() {
					f.fault("a key lives for %v ms (%v): "+fmt.Sprintf("%.60s", key), ttl, err)
				}
			}
			if cursor = page.Cursor; cursor == 0 {
				break
			}
		}
		if last {
			return all
		}
		select {
		case <-done:
			last = true
		case <-time.After(time.Second):
		}
	}
}
