package redis

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store/storetest"
)

// TestScripts has the scripts' logic under a clock that is turned by hand.
func TestScripts(t *testing.T) {
	storetest.Run(t, func(t *testing.T, test func(*testing.T, storetest.Subject)) {
		m := miniredis.RunT(t)
		now := time.Now()
		m.SetTime(now)
		c := dialTest(t, options{addresses: []string{m.Addr()}, prefix: "verify", deaf: true, patient: true})
		test(t, storetest.Subject{
			Open: func(gateway string) store.Store { return c.open("account", gateway) },
			Pass: func(d time.Duration) {
				now = now.Add(d)
				m.SetTime(now)
				m.FastForward(d)
			},
			Now:  func() time.Time { return now },
			Deaf: true,
		})
	})
}

// TestClockSetBack has the server's clock jump back by an hour: the rate is open again in time.
func TestClockSetBack(t *testing.T) {
	m := miniredis.RunT(t)
	now := time.Now()
	a := dialTest(t, options{addresses: []string{m.Addr()}, prefix: "verify", deaf: true, patient: true}).open("account", "gateway")
	ask := func(want store.SlotState) {
		t.Helper()
		m.SetTime(now)
		if slot, err := a.Slot(t.Context(), store.Ask{Size: 1}); err != nil || slot.State != want {
			t.Fatalf("%+v, %v, want %d", slot, err, want)
		}
	}
	ask(store.Alone)
	now = now.Add(2 * store.Closed)
	ask(store.Given)
	ask(store.Full)
	now = now.Add(-time.Hour)
	ask(store.Alone)
	now = now.Add(2 * store.Closed)
	ask(store.Given)
}

// runContract holds a real server to the contract, by two connections to it.
func runContract(t *testing.T, one, two *client) {
	t.Helper()
	var account atomic.Int64
	storetest.Run(t, func(t *testing.T, test func(*testing.T, storetest.Subject)) {
		t.Parallel()
		var tag string
		anew := func() { tag = "account" + strconv.FormatInt(account.Add(1), 10) }
		anew()
		test(t, storetest.Subject{
			Open: func(gateway string) store.Store {
				if gateway == "b" {
					return two.open(tag, gateway)
				}
				return one.open(tag, gateway)
			},
			Pass: time.Sleep,
			Real: true,
			Anew: anew,
		})
	})
}

// TestServer has them on a real one, over two connections. The time limit of what wraps a store
// is left out: it is not of the server's making when the machine is busy.
func TestServer(t *testing.T) {
	s := newServer(t)
	one, two := s.patient(), s.patient()
	runContract(t, one, two)
}

// TestOldServer: logs need nothing that came with Redis 6.2.
func TestOldServer(t *testing.T) {
	s := newServer(t, "--rename-command", "XTRIM", "")
	a := s.patient().open("account", "gateway")
	log := store.Name{Kind: store.Log, ID: "log"}
	if err := a.Tell(t.Context(), log, [][]byte{[]byte("old"), []byte("older")}, 10, time.Hour); err != nil {
		t.Fatal(err)
	}
	if e, err := a.Read(t.Context(), log, "", 10); err != nil || len(e) != 2 {
		t.Errorf("%v, %v", e, err)
	}
	admin := s.admin()
	keys, err := admin.Do(t.Context(), admin.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	for _, key := range keys {
		if ttl, err := admin.Do(t.Context(), admin.B().Pttl().Key(key).Build()).AsInt64(); err != nil || ttl <= 0 {
			t.Errorf("%s has no expiry: %v", key, err)
		}
	}
}
