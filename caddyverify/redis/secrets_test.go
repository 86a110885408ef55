package redis

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

// TestNothingInClear does all that gateways do, and looks at all that lies in the server.
func TestNothingInClear(t *testing.T) {
	const number, code, requestID, caller = "447700900123", "731984", "0b1f6a3c9d8e4f5a8b7c6d5e4f3a2b1c", "checkout-app"
	s := newServer(t)
	g := gateway(t, s.dial(), "gateway")
	eventually(t, back, "connected", g.Watching)
	ctx := t.Context()
	id := store.Name{Kind: store.Verification, ID: requestID}
	request := store.Name{Kind: store.Request, ID: caller + " " + number}
	topic := store.Name{Kind: store.Topic, ID: caller}
	said := [32]byte([]byte(number + code + strings.Repeat(".", 32))[:32])
	for _, step := range []func() error{
		func() error { return g.Begin(ctx, id, []byte(number+caller), time.Hour) },
		func() error {
			f, err := g.Look(ctx, id, caller+" json")
			if err == nil {
				_, err = g.Keep(ctx, id, f.Token, caller+" json", []byte(requestID+number), time.Minute)
			}
			return err
		},
		func() error { _, err := g.Finish(ctx, id, "mark", time.Hour); return err },
		func() error { _, err := g.Paid(ctx, id, "mark", caller, 10, time.Hour); return err },
		func() error {
			_, err := g.Before(ctx, store.Name{Kind: store.Verification, ID: requestID + code}, "mark", time.Second)
			return err
		},
		func() error { _, err := g.Claim(ctx, request, "mark", said, time.Minute, time.Minute); return err },
		func() error { _, err := g.Answer(ctx, request, "mark", []byte(requestID), time.Minute); return err },
		func() error {
			_, err := g.Claim(ctx, store.Name{Kind: store.Key, ID: caller + number}, "mark", said, time.Minute, time.Minute)
			return err
		},
		func() error { return g.Hint(ctx, topic, []byte(number), time.Minute) },
		func() error {
			_, err := g.Hold(ctx, store.Name{Kind: store.Cap, ID: caller}, store.Book{By: "mark", Seq: 1, Keep: time.Hour, Spent: []store.Spent{{Amount: 5}}})
			return err
		},
		func() error {
			return g.Tell(ctx, store.Name{Kind: store.Log, ID: caller}, [][]byte{[]byte(number + caller)}, 10, time.Hour)
		},
		func() error { _, err := g.Slot(ctx, store.Ask{Size: 28}); return err },
	} {
		if _, err := retry(func() (struct{}, error) { return struct{}{}, step() }); err != nil {
			t.Fatal(err)
		}
	}

	everything, keys := dump(t, s.admin())
	if len(keys) < 10 {
		t.Errorf("only %d keys: %q", len(keys), keys)
	}
	for what, clear := range map[string]string{
		"number": number, "code": code, "request_id": requestID, "caller": caller, "key": encryptionKey, "account": "account",
		"digest": string(said[:8]),
	} {
		if strings.Contains(everything, clear) {
			t.Errorf("the %s is in clear", what)
		}
	}
}

// dump returns all keys and values, and fails if one of them has no expiry, or no hash tag.
func dump(t *testing.T, admin rueidis.Client) (everything string, keys []string) {
	t.Helper()
	ctx := context.Background()
	// Compressed strings would hide what is in them.
	if err := admin.Do(ctx, admin.B().ConfigSet().ParameterValue().ParameterValue("rdbcompression", "no").Build()).Error(); err != nil {
		t.Fatal(err)
	}
	keys, err := admin.Do(ctx, admin.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, key := range keys {
		if ttl, err := admin.Do(ctx, admin.B().Pttl().Key(key).Build()).AsInt64(); err != nil || ttl == -1 {
			t.Errorf("%s lives for ever: %d, %v", key, ttl, err)
		}
		if !strings.HasPrefix(key, "verify:") || strings.Count(key, "{") != 1 || strings.Count(key, "}:") != 1 {
			t.Errorf("%s has another form than the others", key)
		}
		value, err := admin.Do(ctx, admin.B().Dump().Key(key).Build()).ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			t.Fatal(err)
		}
		all.WriteString(key + "\n" + value + "\n")
	}
	return all.String(), keys
}
