package bench

import (
	"sync"
	"sync/atomic"
	"time"
)

// window counts one run.
type window struct {
	number  int
	latency *durations
	// delivered counts each event once on each stream, repeated what came again, disordered what came behind a later event
	// of its publisher, strayed what was another stream's own.
	delivered, repeated, disordered, strayed atomic.Int64
}

func (w *window) count(m mark, a arrival, now time.Duration) {
	switch a {
	case again:
		w.repeated.Add(1)
		return
	case late:
		w.disordered.Add(1)
	case next:
	}
	if m.run == w.number {
		w.latency.add(now - time.Duration(m.at))
		w.delivered.Add(1)
	}
}

// lane is what a stream has seen of one publisher. A stream is live before the first event, so number 0 is the first that
// it must see.
type lane struct {
	expected int64
	missing  map[int64]struct{}
}

type arrival uint8

const (
	next  arrival = iota
	late          // it was overtaken
	again         // it was here before
)

func (l *lane) take(seq int64) arrival {
	if seq >= l.expected {
		for ; l.expected < seq; l.expected++ {
			if l.missing == nil {
				l.missing = map[int64]struct{}{}
			}
			l.missing[l.expected] = struct{}{}
		}
		l.expected++
		return next
	}
	if _, ok := l.missing[seq]; !ok {
		return again
	}
	delete(l.missing, seq)
	return late
}

// failures counts what failed and keeps the first, which mostly tells of all.
type failures struct {
	mu    sync.Mutex
	n     int64
	first string
}

func (f *failures) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n++; f.n == 1 {
		f.first = err.Error()
	}
}

func (f *failures) told() (n int64, first string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n, f.first
}
