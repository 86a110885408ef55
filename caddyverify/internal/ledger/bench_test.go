package ledger

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/caddyverify/caddy-verify/caddyverify/internal/wire"
)

var sizes = []int{1e2, 1e4, 1e6}

// realID returns an id such as the provider's: 32 hexadecimal digits.
func realID(i int) string { return fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15) }

// filled is a Ledger with n verifications, half of them under way.
func filled(n int) *Ledger {
	l := New(Settings{MaxEntries: n + 1<<17})
	for i := range n {
		l.Observe(request(realID(i)))
		if i%2 == 0 {
			l.Observe(check(realID(i), wire.Success))
		}
	}
	runtime.GC()
	return l
}

// each measures calls in a Ledger of every size. Making them is not measured.
func each(b *testing.B, make func(i, n int) Observation) {
	for _, n := range sizes {
		l := filled(n)
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			calls := [1 << 14]Observation{}
			for i := range calls {
				calls[i] = make(i, n)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				l.Observe(calls[i%len(calls)])
			}
		})
	}
}

func BenchmarkWrongCode(b *testing.B) {
	each(b, func(i, n int) Observation { return check(realID(i*2+1), wire.WrongCode) })
}

func BenchmarkSearchInProgress(b *testing.B) {
	each(b, func(i, n int) Observation {
		return finds(realID(i%n), wire.InProgress).costing("0.1", "0.0333", "EUR")
	})
}

// anew gives calls an id that the ledger does not know.
func anew(i int, calls ...Observation) {
	id := strconv.FormatUint(uint64(i)*0x9e3779b97f4a7c15, 36)
	for _, o := range calls {
		o.Answer.RequestID = id
		o.Call.Params[0].Value = id
	}
}

// BenchmarkVerification starts and finishes a verification in a full ledger, which
// has to forget another for it: two calls.
func BenchmarkVerification(b *testing.B) {
	for _, n := range sizes {
		l, next := filled(n), 0
		l.settings.MaxEntries = n
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			start, end := request("id"), check("id", wire.Success).costing("0.1", "0.0333", "EUR")
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				next++
				anew(next, start, end)
				l.Observe(start)
				l.Observe(end)
			}
		})
	}
}

// BenchmarkFlood starts verifications that nobody finishes in a full ledger, and
// reports what 99.9 % of them took at most.
func BenchmarkFlood(b *testing.B) {
	for _, n := range sizes {
		l, next := filled(n), 0
		l.settings.MaxEntries = n
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			start := request("id")
			took := make([]time.Duration, 0, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				next++
				anew(next, start)
				begun := time.Now()
				l.Observe(start)
				took = append(took, time.Since(begun))
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
		})
	}
}

func BenchmarkStats(b *testing.B) {
	l := filled(1e6)
	for b.Loop() {
		l.Stats()
	}
}

func BenchmarkParallel(b *testing.B) {
	l := filled(1e4)
	o := check(realID(1), wire.WrongCode)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			l.Observe(o)
		}
	})
}

// BenchmarkMemory reports what one verification takes.
func BenchmarkMemory(b *testing.B) {
	const n = 1e5
	for range b.N {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := filled(n)
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/entry")
		runtime.KeepAlive(l)
	}
}
