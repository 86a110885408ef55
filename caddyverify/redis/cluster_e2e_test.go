//go:build e2e

package redis

import (
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store/storetest"
)

// TestCluster has the contract on three masters, each account on one of them.
func TestCluster(t *testing.T) {
	args := []string{"--cluster", "create"}
	var addresses []string
	var servers []*server
	for range 3 {
		s := newServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", freePort(t))
		servers, addresses = append(servers, s), append(addresses, s.address())
	}
	args = append(append(args, addresses...), "--cluster-yes")
	if out, err := exec.CommandContext(t.Context(), "redis-cli", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range servers { // each node hears of the others in its own time
		eventually(t, 20*time.Second, "a cluster for all nodes", func() bool {
			out, err := exec.CommandContext(t.Context(), "redis-cli", "-p", s.port, "cluster", "info").Output()
			return err == nil && strings.Contains(string(out), "cluster_state:ok")
		})
	}
	o := options{addresses: addresses, prefix: "verify"}
	one, two := dialTest(t, o), dialTest(t, o)
	var account atomic.Int64
	storetest.Run(t, func(t *testing.T, test func(*testing.T, storetest.Subject)) {
		t.Parallel()
		tag := "account" + strconv.FormatInt(account.Add(1), 10)
		test(t, storetest.Subject{
			Open: func(gateway string) store.Store {
				if gateway == "b" {
					return two.open(tag, gateway)
				}
				return one.open(tag, gateway)
			},
			Pass: time.Sleep,
			Real: true,
		})
	})
}
