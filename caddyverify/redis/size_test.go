package redis

import (
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/state"
)

// TestSizeOfVerification measures what docs/configuration.md says that a verification of version 2 takes.
func TestSizeOfVerification(t *testing.T) {
	const most = 5_000
	ctx := t.Context()
	s, whole := tellTwo(t)
	for range 20 {
		if whole {
			break
		}
		s, whole = tellTwo(t)
	}
	if !whole {
		t.Fatal("something was not told each time")
	}
	admin := s.admin()
	keys, err := admin.Do(ctx, admin.B().Keys().Pattern("*").Build()).AsStrSlice()
	if err != nil {
		t.Fatal(err)
	}
	logs := 0
	for _, key := range keys {
		kind, err := admin.Do(ctx, admin.B().Type().Key(key).Build()).ToString()
		if err != nil {
			t.Fatal(err)
		}
		if kind != "stream" {
			continue
		}
		logs++
		size, err := admin.Do(ctx, admin.B().MemoryUsage().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d bytes", size)
		if size > most {
			t.Errorf("a verification takes %d bytes", size)
		}
		left, err := admin.Do(ctx, admin.B().Pttl().Key(key).Build()).AsInt64()
		if err != nil {
			t.Fatal(err)
		}
		if life := time.Duration(left) * time.Millisecond; life <= 24*time.Hour || life > 25*time.Hour {
			t.Errorf("it lives for %v", life)
		}
	}
	if logs != 2 {
		t.Errorf("there are %d logs", logs)
	}
}

// tellTwo has a server be told of two verifications. What a busy machine has not answered in time
// may be there twice: then it is not whole.
func tellTwo(t *testing.T) (s *server, whole bool) {
	t.Helper()
	s = newServer(t)
	g := gateway(t, s.dial(), "gateway")
	eventually(t, back, "connected", g.Watching)
	b := state.New(state.Settings{})
	b.Share(g)
	ctx, now := t.Context(), time.Now()
	for id, webhooks := range map[string]bool{"0b1f6a3c9d8e4f5a8b7c6d5e4f3a2b1c": true, "1b1f6a3c9d8e4f5a8b7c6d5e4f3a2b1c": false} {
		b.Began(ctx, id, state.Start{
			Number: "447700900123", Sender: "VERIFY", Account: "abcd1234", Caller: "checkout-app", Channels: []string{"sms", "tts", "tts"},
			Wait: 3 * time.Minute, Took: 123 * time.Millisecond,
		})
		b.Checked(ctx, id, false, 0)
		b.Checked(ctx, id, true, 0)
		if webhooks {
			b.Told(ctx, id, state.Event{Type: "event", Channel: "sms", Status: "completed", At: now, Sent: []state.Message{{Channel: "sms", At: now}}})
			b.Told(ctx, id, state.Event{Type: "summary", Status: "completed", At: now, Price: "0.05", Sent: []state.Message{{Channel: "sms", At: now}}})
		}
	}
	b.Retell(ctx)
	st := g.Stats()
	if n := b.Stats().Untold; n > 0 && st.Failed+st.Alone == 0 {
		t.Fatalf("of %d verifications something was not told", n)
	}
	return s, st.Failed+st.Alone == 0
}
