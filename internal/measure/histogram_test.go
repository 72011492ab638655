package measure

import (
	"slices"
	"sync"
	"testing"
)

func TestHistogramCountsEachObservationInItsBucket(t *testing.T) {
	h := NewHistogram(1, 10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, v := range []float64{0.5, 1, 1.5, 10, 11} {
				h.Observe(v)
			}
		})
	}
	wg.Wait()
	s := h.Snapshot()
	if want := []uint64{16, 16, 8}; !slices.Equal(s.Counts, want) {
		t.Errorf("counts %v, want %v", s.Counts, want)
	}
	if s.Sum != 8*24 {
		t.Errorf("sum %v, want %v", s.Sum, 8*24)
	}
}

func BenchmarkObserve(b *testing.B) {
	h := NewHistogram(.001, .01, .1, 1)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Observe(.05)
		}
	})
}
