package limit

import (
	"slices"
	"testing"
	"time"
)

// TestSlots shows when slots come back, in milliseconds from the start.
func TestSlots(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	tests := []struct {
		name string
		use  func(s *slots)
		want []int
	}{
		{"new", func(*slots) {}, []int{0, 0, 0, 0}},
		{"one", func(s *slots) { s.take(at(0)) }, []int{0, 0, 0, 1000}},
		{"a burst comes back at an even pace", func(s *slots) {
			for range 4 {
				s.take(at(0))
			}
		}, []int{1000, 1250, 1500, 1750}},
		{"taken at an even pace", func(s *slots) {
			for i := range 8 {
				s.take(at(i * 250))
			}
		}, []int{2000, 2250, 2500, 2750}},
		{"taken late", func(s *slots) {
			for range 4 {
				s.take(at(0))
			}
			s.take(at(1600))
		}, []int{1250, 1500, 1750, 2600}},
		{"half dropped", func(s *slots) {
			for range 4 {
				s.take(at(0))
			}
			s.drop()
			s.drop()
			s.take(at(1500))
		}, []int{1750, 2500}},
		{"one more comes after those in use", func(s *slots) {
			for range 4 {
				s.take(at(0))
			}
			s.drop()
			s.drop()
			s.add(at(100))
		}, []int{1500, 1750, 2250}},
		{"one more after a pause", func(s *slots) {
			s.drop()
			s.add(at(9000))
		}, []int{0, 0, 0, 9000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSlots(4, start)
			tt.use(&s)
			var got []int
			for i := range s.n {
				got = append(got, int(s.at(i).Sub(start).Milliseconds()))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("back at %d, want %d", got, tt.want)
			}
		})
	}
}
