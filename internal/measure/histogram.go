// Package measure counts on hot paths without locks. Package telemetry turns what it holds into metrics.
package measure

import (
	"math"
	"slices"
	"sync/atomic"
)

// Histogram counts observations in fixed buckets. Its methods may be called from any goroutine.
type Histogram struct {
	bounds []float64 // upper bounds, ascending
	counts []atomic.Uint64
	sum    atomic.Uint64 // bits of a float64
}

// Snapshot is a copy of a Histogram.
type Snapshot struct {
	Bounds []float64 // upper bounds, inclusive, ascending
	Counts []uint64  // one for each bound and a last one for what lies above all of them; not cumulative
	Sum    float64   // of all observations
}

// NewHistogram returns a histogram with the given ascending upper bounds.
func NewHistogram(bounds ...float64) *Histogram {
	return &Histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// Observe counts v.
func (h *Histogram) Observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i].Add(1)
	for {
		old := h.sum.Load()
		if h.sum.CompareAndSwap(old, math.Float64bits(math.Float64frombits(old)+v)) {
			return
		}
	}
}

// Snapshot returns a copy. An observation made meanwhile may be in Counts and not yet in Sum.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: math.Float64frombits(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}
