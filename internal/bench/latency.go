package bench

import (
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy/internal/measure"
)

// durations counts how long things took: in buckets 2 % apart, from 1 µs to 6 minutes, and the longest exactly.
type durations struct {
	all  *measure.Histogram // of seconds
	most atomic.Int64
}

func newDurations() *durations { return &durations{all: measure.NewExponential(1e-6, 1.02, 1000)} }

func (d *durations) add(took time.Duration) {
	d.all.Observe(took.Seconds())
	for {
		most := d.most.Load()
		if int64(took) <= most || d.most.CompareAndSwap(most, int64(took)) {
			return
		}
	}
}

// Latency tells how long things took, in milliseconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

func (d *durations) latency() Latency {
	s, most := d.all.Snapshot(), time.Duration(d.most.Load()).Seconds()
	ms := func(q float64) float64 { return min(s.Quantile(q), most) * 1e3 }
	return Latency{P50: ms(0.5), P90: ms(0.9), P99: ms(0.99), P999: ms(0.999), Max: most * 1e3}
}
