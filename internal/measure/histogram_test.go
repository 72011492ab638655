package measure_test

import (
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/roxyhub/roxy/internal/measure"
)

func TestObservationsFallIntoTheBucketWhoseBoundIsNotBelowThem(t *testing.T) {
	h := measure.NewHistogram(1, 2, 4)
	for _, v := range []float64{0, 1, 1.5, 2, 3, 4, 5, 1000} {
		h.Observe(v)
	}
	s := h.Snapshot()
	if want := []uint64{2, 2, 2, 2}; !slices.Equal(s.Counts, want) {
		t.Errorf("counts %v, want %v", s.Counts, want)
	}
	if s.Sum != 1016.5 || s.Count() != 8 {
		t.Errorf("sum %v of %d, want 1016.5 of 8", s.Sum, s.Count())
	}
}

func TestConcurrentObservationsAreAllCounted(t *testing.T) {
	h := measure.NewExponential(1, 2, 10)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				h.Observe(float64(i))
			}
		})
	}
	wg.Wait()
	if s := h.Snapshot(); s.Count() != 8000 || s.Sum != 8*499500 {
		t.Errorf("%d observations with sum %v, want 8000 with %d", s.Count(), s.Sum, 8*499500)
	}
}

func TestQuantileIsTheBoundOfItsBucket(t *testing.T) {
	h := measure.NewHistogram(1, 10, 100)
	if q := h.Snapshot().Quantile(0.5); q != 0 {
		t.Errorf("median of nothing is %v, want 0", q)
	}
	for range 99 {
		h.Observe(5)
	}
	h.Observe(1e6)
	s := h.Snapshot()
	for q, want := range map[float64]float64{0.5: 10, 0.99: 10, 1: math.Inf(1)} {
		if got := s.Quantile(q); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func BenchmarkObserve(b *testing.B) {
	b.ReportAllocs()
	h := measure.NewExponential(1e-6, 2, 24)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h.Observe(0.003)
		}
	})
}
