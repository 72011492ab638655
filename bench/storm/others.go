package main

import (
	"bytes"
	"fmt"
	"log"
	"slices"
	"strconv"
	"sync"
	"time"
)

// others are the streams that have missed nothing.
type others struct {
	mu   sync.Mutex
	took []time.Duration
}

// listen opens n streams and publishes to them at a rate until the program ends.
func (s *storm) listen(n, rate int) *others {
	o := &others{}
	began := time.Now()
	dials := make(chan struct{}, n)
	for range n {
		r := s.open("topic=storm/live", dials)
		r.packed = false
		r.data = func(envelope []byte) {
			_, text, _ := bytes.Cut(envelope, []byte(`"data":`))
			at, err := strconv.ParseInt(string(bytes.TrimSuffix(text, []byte("}"))), 10, 64)
			if err != nil {
				log.Fatalf("not a time: %s", envelope)
			}
			o.mu.Lock()
			o.took = append(o.took, time.Since(began)-time.Duration(at))
			o.mu.Unlock()
		}
		r.read(func(r *reader) bool { return r.live })
		go r.read(func(*reader) bool { return false })
	}
	go func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		for range tick.C {
			at := time.Since(began)
			go s.publish([]map[string]any{{"topic": "storm/live", "data": int64(at)}})
		}
	}()
	return o
}

// latency is how long deliveries took.
type latency []time.Duration

// take returns the latency of the deliveries since the last take.
func (o *others) take() latency {
	o.mu.Lock()
	defer o.mu.Unlock()
	took := o.took
	o.took = nil
	slices.Sort(took)
	return took
}

func (l latency) String() string {
	if len(l) == 0 {
		return "nothing delivered"
	}
	at := func(q float64) time.Duration { return l[int(q*float64(len(l)-1))].Round(100 * time.Microsecond) }
	return fmt.Sprintf("p50 %v, p99 %v, at most %v (%d deliveries)", at(0.5), at(0.99), at(1), len(l))
}
