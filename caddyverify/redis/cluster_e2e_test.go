//go:build e2e

package redis

import (
	"os/exec"
	"strings"
	"testing"
	"time"
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
	o := options{addresses: addresses, prefix: "verify", patient: true}
	one, two := dialTest(t, o), dialTest(t, o)
	runContract(t, one, two)
}
