package search

import (
	"slices"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// What another version has written is not there.
func TestEncoding(t *testing.T) {
	l := newLifetimes(Settings{}.withDefaults())
	v := wire.Verification{RequestID: "a", Status: wire.Succeeded, Raw: []byte(`{"a":1}`)}
	for _, whole := range [][]byte{nil, []byte("  {\"a\":1}\n")} {
		e := newEntry("app", wire.JSON, &v, whole, "application/json")
		e.class, e.fetched, e.expires = settling, time.Hour, time.Hour+time.Minute
		b := e.encode(time.Hour + time.Second)
		in := store.Found{Entry: b, Age: 2 * time.Second, Left: 50 * time.Second}
		got := decode(in, "app", wire.JSON, 10*time.Hour, 0, &l)
		if got == nil {
			t.Fatal("it cannot be read")
		}
		if string(got.answer().Body) != string(e.answer().Body) || string(got.raw()) != string(e.raw()) || got.kind != e.kind || got.class != settling {
			t.Errorf("%+v, want %+v", got, e)
		}
		expect(t, "said", got.fetched, 10*time.Hour-3*time.Second)
		expect(t, "expires", got.expires, 10*time.Hour+50*time.Second)
		in.Left = time.Hour
		expect(t, "expires with other settings", decode(in, "app", wire.JSON, 10*time.Hour, 0, &l).expires, 10*time.Hour+57*time.Second)
		for i := range b {
			in.Entry = b[:i] // some of the body may be missing: it is sealed as a whole
			_ = decode(in, "app", wire.JSON, 0, 0, &l)
		}
		for i, wrong := range map[int]byte{0: encoding + 1, 1: byte(classes), 2: 2} {
			in.Entry = slices.Clone(b)
			in.Entry[i] = wrong
			if decode(in, "app", wire.JSON, 0, 0, &l) != nil {
				t.Errorf("byte %d can be %d", i, wrong)
			}
		}
		in.Entry, in.Age = b, -time.Second // the store's clock was set back: nobody knows how old it is
		if decode(in, "app", wire.JSON, 0, 0, &l) != nil {
			t.Error("it was stored in the future")
		}
		in.Entry = nil
		if decode(in, "app", wire.JSON, 0, 0, &l) != nil {
			t.Error("nothing is something")
		}
	}
}

// What lies in the store unreadable, or is nobody's any more, is asked for and kept anew.
func TestUnknownVersion(t *testing.T) {
	sharing(t, func(t *testing.T, a, b *peer) {
		u := newUpstream(map[string]string{"a": ip})
		f := newFlight("", wire.JSON, false)
		in, err := a.shared.Look(t.Context(), store.Of("a"), f.field())
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := a.shared.Keep(t.Context(), store.Of("a"), in.Token, f.field(), []byte{encoding + 1, 1, 2, 3}, time.Minute); err != nil || !kept {
			t.Fatal(kept, err)
		}
		expect(t, "b", b.asked(u, one(wire.JSON, "a")), "fwd=miss; stored")
		expect(t, "a", a.asked(u, one(wire.JSON, "a")), "hit; ttl=2; detail=store")
	})
}
