package limit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

// rest makes as if the slot that was taken last came back long ago.
func (s *slots) rest() {
	s.last = time.Time{}
	s.back[(s.head+s.n-1)%len(s.back)] = time.Time{}
}

func BenchmarkWait(b *testing.B) {
	names := make([]string, 100_000)
	for i := range names {
		names[i] = fmt.Sprint("caller ", i)
	}
	for _, bb := range []struct {
		name    string
		callers int
	}{{"free", 0}, {"free, of 20 callers", 20}, {"free, of callers not known", len(names)}} {
		b.Run(bb.name, func(b *testing.B) {
			l, i := New(Settings{}), 0
			b.ReportAllocs()
			for b.Loop() {
				name := ""
				if i++; bb.callers > 0 {
					name = names[i%bb.callers]
				}
				if _, ok := l.Wait(b.Context(), name, wire.Check); !ok {
					b.Fatal("a check was refused")
				}
				l.slots.rest()
			}
		})
	}
	b.Run("refused", func(b *testing.B) {
		l := New(Settings{Rate: 1})
		l.slots.back[0] = time.Now().Add(time.Hour) // so that none waits
		b.ReportAllocs()
		for b.Loop() {
			l.Wait(b.Context(), "", wire.Check)
		}
	})
	for _, waiting := range []int{7, 50} {
		b.Run(fmt.Sprintf("refused, %d others wait", waiting), func(b *testing.B) {
			l := New(Settings{})
			for i := range l.slots.back { // and none goes
				l.slots.back[i] = time.Now().Add(time.Hour)
			}
			for _, name := range names[:waiting] {
				l.join(l.known(l.get(name)), check, newWaiter())
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Wait(b.Context(), "a flood", wire.Check)
			}
		})
	}
	b.Run("refused, by its own limit", func(b *testing.B) {
		l := New(Settings{Callers: map[string]Share{"small": {Rate: 1}}})
		l.callers["small"].slots.back[0] = time.Now().Add(time.Hour)
		b.ReportAllocs()
		for b.Loop() {
			l.Wait(context.Background(), "small", wire.Check)
		}
	})
}
