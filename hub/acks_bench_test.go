package hub

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

// rounds is critical events that every one of many devices has to confirm, a thousand at a time.
type rounds struct {
	hub     *Hub
	devices int
	from    []roxy.Cursor
}

const roundEvents = 1000

func newRounds(b *testing.B, devices int) *rounds {
	b.Helper()
	e, err := disk.Open(b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	h, err := Start(context.Background(), e, Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			b.Error(err)
		}
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	r := &rounds{hub: h, devices: devices}
	for i := range devices {
		_, err := e.Register(b.Context(), "bar", roxy.Device{Name: r.device(i), User: "u", Patterns: []roxy.Pattern{pattern(b, "calls/*")}}, 0)
		if err != nil {
			b.Fatal(err)
		}
	}
	return r
}

func (*rounds) device(i int) string { return fmt.Sprint("tablet-", i) }

func (r *rounds) who(b *testing.B) roxy.Identity {
	b.Helper()
	return roxy.Identity{Tenant: "bar", User: "u", Grant: roxy.Grant{Publish: []roxy.Pattern{pattern(b, "**")}}}
}

// open begins another round.
func (r *rounds) open(b *testing.B) {
	b.Helper()
	topic, _ := pattern(b, "calls/1").Topic()
	batch := make([]roxy.Event, roundEvents)
	for i := range batch {
		batch[i] = roxy.Event{Topic: topic, Data: []byte(`{"n":1}`), Ack: &roxy.Ack{By: roxy.AckDevice, Within: time.Hour, Attempts: 5}}
	}
	published, err := r.hub.Publish(b.Context(), r.who(b), batch)
	if err != nil {
		b.Fatal(err)
	}
	r.from = r.from[:0]
	for _, p := range published {
		r.from = append(r.from, p.Cursor)
	}
}

// confirm confirms the i-th lot of ids ids of the round: all devices, one after the other.
func (r *rounds) confirm(b *testing.B, who roxy.Identity, i, ids int) {
	b.Helper()
	lots := roundEvents / ids
	first := i / r.devices % lots * ids
	_, statuses, err := r.hub.Acknowledge(b.Context(), who, Acks{Device: r.device(i % r.devices), Confirmed: r.from[first : first+ids]})
	if err != nil {
		b.Error(err)
	}
	for _, s := range statuses {
		if s != roxy.AckConfirmed {
			b.Errorf("lot %d: %s", i, s)
			return
		}
	}
}

// Confirmations that are durable, of one id a call from 64 callers, and of a hundred ids a call from one.
func BenchmarkAcknowledge(b *testing.B) {
	for _, bb := range []struct{ callers, ids int }{{64, 1}, {1, 1}, {1, 100}, {64, 100}} {
		b.Run(fmt.Sprintf("callers=%d/ids=%d", bb.callers, bb.ids), func(b *testing.B) {
			r := newRounds(b, 100)
			who := r.who(b)
			perRound := r.devices * roundEvents / bb.ids
			b.ReportAllocs()
			b.ResetTimer()
			for done := 0; done < b.N; done += perRound {
				b.StopTimer()
				r.open(b)
				b.StartTimer()
				var next atomic.Int64
				over := make(chan struct{}, bb.callers)
				for range bb.callers {
					go func() {
						defer func() { over <- struct{}{} }()
						for {
							i := int(next.Add(1)) - 1
							if i >= min(perRound, b.N-done) {
								return
							}
							r.confirm(b, who, i, bb.ids)
						}
					}()
				}
				for range bb.callers {
					<-over
				}
			}
			b.ReportMetric(float64(b.N*bb.ids)/b.Elapsed().Seconds(), "acks/s")
		})
	}
}

// What a thousand open critical events of a hundred devices take.
func BenchmarkOpenCriticalEvents(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	r := newRounds(b, 100)
	before := heap()
	n := 0
	for b.Loop() {
		if n++; n <= 9 { // the tenth thousand would be one too many
			r.open(b)
		}
	}
	b.ReportMetric((heap()-before)/float64(min(n, 9)*roundEvents), "B/event")
	b.ReportMetric((heap()-before)/float64(min(n, 9)*roundEvents*r.devices), "B/receipt")
}
