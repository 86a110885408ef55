//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestShutdownUnderLoad sends SIGTERM while a steady load is under way. Whatever call the provider has accepted, its client
// reads the whole answer, unless he has left before; the process ends by itself, and well.
func TestShutdownUnderLoad(t *testing.T) {
	const perSecond, underWay, leaves = 300, 60, 10 // every tenth client leaves
	for _, http2 := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2], func(t *testing.T) {
			api := startWitness(t, 300*time.Millisecond)
			address := freeAddress(t)
			p := startCaddyfile(t, nil, fmt.Sprintf("{\nadmin off\npersist_config off\nauto_https off\ndefault_bind 127.0.0.1\nlog {\nlevel WARN\n}\nservers {\nprotocols h1 h2c\n}\n}\n"+
				"http://%s {\nverify {\nupstream %s\ncredentials %s %s\nlimit off\n}\n}\n", address, api.URL, gatewayKey, gatewaySecret), address)

			transport := &http.Transport{MaxIdleConnsPerHost: 100, Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(!http2)
			transport.Protocols.SetUnencryptedHTTP2(http2)
			t.Cleanup(transport.CloseIdleConnections)
			client := &http.Client{Transport: transport, Timeout: patience}
			type outcome struct {
				body string
				err  error
			}
			var mu sync.Mutex
			outcomes := map[int]outcome{}
			ctx, stop := context.WithCancel(t.Context())
			made := make(chan int)
			go func() {
				made <- steady(ctx, perSecond, func(n int) {
					while := t.Context()
					if n%leaves == 0 {
						var leave context.CancelFunc
						while, leave = context.WithTimeout(while, 150*time.Millisecond)
						defer leave()
					}
					path, form := steadyCall(n)
					_, body, err := postTo(while, client, address, path, form)
					mu.Lock()
					outcomes[n] = outcome{body, err}
					mu.Unlock()
				})
			}()

			p.await(t, "under load", func() bool { return int(api.underWay.Load()) >= underWay })
			held := api.underWay.Load()
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.exited:
				if p.err != nil {
					t.Errorf("caddy exited with %v", p.err)
				}
			case <-time.After(patience):
				t.Errorf("caddy still runs %s after SIGTERM", patience)
			}
			if still := api.underWay.Load(); still != 0 {
				t.Errorf("caddy ended while %d calls were under way", still)
			}
			stop()
			total, accepted, left := <-made, 0, 0
			for n := range total {
				path, form := steadyCall(n)
				came, answered := api.told(path, form)
				if came == 0 {
					continue // refused, by a server that was about to end
				}
				accepted++
				got := outcomes[n]
				switch {
				case came > 1:
					t.Errorf("call %d came to the provider %d times", n, came)
				case n%leaves == 0:
					left++
					// A search costs nothing, and ends with its client; all else goes on without him.
					if !answered && path != "/verify/search/json" {
						t.Errorf("call %d, whose client has left, was cut", n)
					}
				case got.err != nil || got.body != witnessed(path, form):
					t.Errorf("call %d was accepted, and its client reads %q (%v)", n, got.body, got.err)
				}
			}
			if accepted < underWay || left == 0 || accepted == total {
				t.Errorf("of %d calls %d were accepted, of which %d clients left: that shows nothing", total, accepted, left)
			}
			t.Logf("SIGTERM came with %d calls under way; of %d calls %d were accepted, and all of these but %d, whose clients left, were answered", held, total, accepted, left)
		})
	}
}
