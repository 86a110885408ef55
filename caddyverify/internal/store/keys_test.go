package store_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/store"
)

func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		name    string
		secrets []string
		want    string
	}{
		{"none", nil, "no encryption key"},
		{"short", []string{first, "short"}, "encryption key 2 has fewer than 32 characters"},
		{"twice", []string{first, second, first}, "encryption key 3 is one of those before it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := store.NewKeys("account", tt.secrets...)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "key,") {
				t.Errorf("error: %v, want %q", err, tt.want)
			}
		})
	}
	if keys(t, "one", first).Account() == keys(t, "two", first).Account() {
		t.Error("two accounts have one name")
	}
}

// TestRotation is of gateways of several ages on one store.
func TestRotation(t *testing.T) {
	m := new(store.Memory)
	gateway := func(secrets ...string) *store.Shared {
		return store.NewShared(m.Open("account", "a"), keys(t, "account", secrets...))
	}
	keep := func(s *store.Shared, v string) {
		t.Helper()
		f, err := s.Look(t.Context(), id, "json")
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := s.Keep(t.Context(), id, f.Token, "json", []byte(v), time.Minute); !kept || err != nil {
			t.Fatal(kept, err)
		}
	}
	sees := func(s *store.Shared, want string) {
		t.Helper()
		f, err := s.Look(t.Context(), id, "json")
		if err != nil || string(f.Entry) != want {
			t.Errorf("entry %q, %v, want %q", f.Entry, err, want)
		}
	}
	old, rotated := gateway(first), gateway(second, first)
	keep(old, "by the old")
	sees(rotated, "by the old")
	keep(rotated, "by the new")
	sees(rotated, "by the new")
	sees(old, "") // its key is not known: a miss
	keep(old, "by the old")
	sees(rotated, "by the old")
}

// TestNothingInClear looks at all that a store is given.
func TestNothingInClear(t *testing.T) {
	spy := &spy{Store: new(store.Memory).Open("account", "a")}
	s := store.NewShared(spy, keys(t, "account", first))
	ctx, says := t.Context(), [32]byte{'4', '4', '7', '7', '0', '0'}
	f, _ := s.Look(ctx, id, "checkout json")
	_, _ = s.Keep(ctx, id, f.Token, "checkout json", []byte("447700900000"), time.Minute)
	_ = s.Begin(ctx, id, []byte("447700900000"), time.Minute)
	mark := store.NewMark()
	_, _ = s.Claim(ctx, key, mark, says, time.Minute, time.Minute)
	_, _ = s.Answer(ctx, key, mark, []byte("447700900000"), time.Minute)
	_, _ = s.Take(ctx, key, says)
	_ = s.Hint(ctx, store.Name{Kind: store.Topic, ID: "checkout"}, []byte("447700"), time.Minute)
	_, _ = s.Hold(ctx, store.Name{Kind: store.Cap, ID: "checkout"}, store.Book{})
	_ = s.Tell(ctx, store.Name{Kind: store.Log, ID: "checkout"}, [][]byte{[]byte("447700")}, 10, time.Minute)
	if len(spy.given) < 1000/8 {
		t.Fatalf("only %d bytes were given", len(spy.given))
	}
	for _, clear := range []string{"447700", "checkout", "json", id.ID, key.ID} {
		if bytes.Contains(spy.given, []byte(clear)) {
			t.Errorf("%q is in clear", clear)
		}
	}
}

// TestMovedEntryDoesNotOpen is of who can write into the store but has no key.
func TestMovedEntryDoesNotOpen(t *testing.T) {
	spy := &spy{Store: new(store.Memory).Open("account", "a")}
	s := store.NewShared(spy, keys(t, "account", first))
	f, _ := s.Look(t.Context(), id, "json")
	_, _ = s.Keep(t.Context(), id, f.Token, "json", []byte("v"), time.Minute)
	for _, tt := range []struct {
		name  string
		move  bool
		value func([]byte) []byte
		want  string
	}{
		{"as it was", false, func(v []byte) []byte { return v }, "v"},
		{"moved", true, func(v []byte) []byte { return v }, ""},
		{"of a later version", false, func(v []byte) []byte { return append([]byte{v[0] + 1}, v[1:]...) }, ""},
		{"changed", false, func(v []byte) []byte { v[len(v)-1] ^= 1; return v }, ""},
		{"cut", false, func(v []byte) []byte { return v[:3] }, ""},
		{"without tag", false, func(v []byte) []byte { return v[:8] }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := id
			if tt.move {
				name.ID = "another"
			}
			hidden := s.Hidden(name)
			f, _ := spy.Store.Look(t.Context(), hidden, spy.field)
			if kept, err := spy.Store.Keep(t.Context(), hidden, f.Token, spy.field, tt.value(bytes.Clone(spy.value)), time.Minute); !kept || err != nil {
				t.Fatal(kept, err)
			}
			got, err := s.Look(t.Context(), name, "json")
			if err != nil || string(got.Entry) != tt.want || got.Token == "" {
				t.Errorf("got %+v, %v, want %q", got, err, tt.want)
			}
		})
	}
}
