package bench

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// fine is the number of buckets in each power of two, itself one: a quantile is at most 1.6 % too high.
	fine     = 64
	fineBits = 6
	// octaves reach 2^40 ns, 18 minutes.
	octaves = 40 - fineBits + 1
)

// histogram counts durations in buckets whose width grows with them. It is safe for concurrent use; the zero one is
// empty.
type histogram struct {
	buckets [fine * octaves]atomic.Int64
	most    atomic.Int64
}

func (h *histogram) add(d time.Duration) {
	ns := max(int64(d), 0)
	h.buckets[bucketOf(ns)].Add(1)
	for {
		most := h.most.Load()
		if ns <= most || h.most.CompareAndSwap(most, ns) {
			return
		}
	}
}

// bucketOf returns ns itself below 64; above, the exponent and the six bits behind the leading one.
func bucketOf(ns int64) int {
	exponent := bits.Len64(uint64(ns)) - 1 //nolint:gosec // not negative
	if exponent < fineBits {
		return int(ns)
	}
	shift := exponent - fineBits
	return min((shift+1)*fine+int(ns>>shift)-fine, fine*octaves-1)
}

// top returns the largest duration of bucket i.
func top(i int) int64 {
	if i < fine {
		return int64(i)
	}
	shift := i/fine - 1
	return (int64(i%fine+fine)+1)<<shift - 1
}

// quantile returns what q of all durations do not exceed, and 0 when there are none. Others may add meanwhile.
func (h *histogram) quantile(q float64) time.Duration {
	var all int64
	for i := range h.buckets {
		all += h.buckets[i].Load()
	}
	if all == 0 {
		return 0
	}
	rank := max(1, int64(q*float64(all)+0.5))
	for i := range h.buckets {
		if rank -= h.buckets[i].Load(); rank <= 0 {
			return time.Duration(min(top(i), h.most.Load()))
		}
	}
	return time.Duration(h.most.Load())
}

// Latency tells how long things took, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (h *histogram) latency() Latency {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return Latency{
		P50: ms(h.quantile(0.5)), P90: ms(h.quantile(0.9)), P99: ms(h.quantile(0.99)), P999: ms(h.quantile(0.999)),
		Max: ms(time.Duration(h.most.Load())),
	}
}
