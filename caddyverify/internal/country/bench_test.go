package country

import "testing"

func BenchmarkOf(b *testing.B) {
	for _, number := range []string{"447400123456", "12015550123", "447700900000"} {
		b.Run(number, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				Of(number, "")
			}
		})
	}
}
