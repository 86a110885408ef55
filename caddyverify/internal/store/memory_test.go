package store_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, test func(*testing.T, storetest.Subject)) {
		synctest.Test(t, func(t *testing.T) {
			m := new(store.Memory)
			test(t, storetest.Subject{
				Open: func(gateway string) store.Store { return m.Open("account", gateway) },
				Pass: time.Sleep,
			})
		})
	})
}

func TestSharedMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T, test func(*testing.T, storetest.Subject)) {
		synctest.Test(t, func(t *testing.T) {
			m, k := new(store.Memory), keys(t, "account", first)
			test(t, storetest.Subject{
				Open:   func(gateway string) store.Store { return store.NewShared(m.Open("account", gateway), k) },
				Pass:   time.Sleep,
				Hidden: store.NewShared(m.Open("account", "hide"), k).Hidden,
			})
		})
	})
}

func TestMemoryOfAccounts(t *testing.T) {
	m := new(store.Memory)
	name := store.Name{Kind: store.Key, ID: "key"}
	for _, account := range []string{"one", "two"} {
		c, err := m.Open(account, "a").Claim(t.Context(), name, store.NewMark(), [32]byte{}, time.Second, time.Second)
		if err != nil || c.State != store.Yours {
			t.Errorf("%s: %+v, %v", account, c, err)
		}
	}
}

const (
	first  = "first key, of at least 32 characters"
	second = "second key, of at least 32 characters"
)

func keys(t *testing.T, account string, secrets ...string) *store.Keys {
	t.Helper()
	k, err := store.NewKeys(account, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}
