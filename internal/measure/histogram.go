// Package measure counts on hot paths without locks and without knowing who reads the counts. It owns no names, no
// labels and no wire format: internal/telemetry turns its snapshots into metrics.
package measure

import (
	"math"
	"slices"
	"sync/atomic"
)

// Histogram counts observations in fixed buckets. It is safe for concurrent use and never locks; the zero Histogram
// is not usable, NewHistogram returns one that is.
type Histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one for each bound, and a last one for what lies above all of them
	sum    atomic.Uint64   // the bits of a float64
}

// Snapshot is what a Histogram held at one moment. While others observe, Sum and Counts may be a few observations
// apart.
type Snapshot struct {
	Bounds []float64 // upper bounds, inclusive, ascending
	Counts []uint64  // observations in each bucket, not cumulated; one more than Bounds, the last above all of them
	Sum    float64
}

// NewHistogram returns a Histogram with these inclusive upper bounds, which are ascending.
func NewHistogram(bounds ...float64) *Histogram {
	return &Histogram{bounds: slices.Clone(bounds), counts: make([]atomic.Uint64, len(bounds)+1)}
}

// NewExponential returns a Histogram of n buckets whose bounds begin at first and grow by factor.
func NewExponential(first, factor float64, n int) *Histogram {
	bounds := make([]float64, n)
	for i := range bounds {
		bounds[i] = first * math.Pow(factor, float64(i))
	}
	return NewHistogram(bounds...)
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

// Snapshot returns what was counted so far. The caller may keep and change it.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Bounds: slices.Clone(h.bounds), Counts: make([]uint64, len(h.counts)), Sum: math.Float64frombits(h.sum.Load())}
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	return s
}

// Count returns how many observations s holds.
func (s Snapshot) Count() uint64 {
	var n uint64
	for _, c := range s.Counts {
		n += c
	}
	return n
}

// Quantile returns the upper bound of the bucket that holds the q-th part of the observations, 0 ≤ q ≤ 1: an estimate
// from above. It is +Inf when that is the last bucket and 0 when nothing was observed.
func (s Snapshot) Quantile(q float64) float64 {
	total := s.Count()
	if total == 0 {
		return 0
	}
	rank := uint64(math.Ceil(q * float64(total)))
	for i, c := range s.Counts {
		if i == len(s.Bounds) {
			break
		}
		if c >= rank {
			return s.Bounds[i]
		}
		rank -= c
	}
	return math.Inf(1)
}
