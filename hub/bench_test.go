package hub

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

// counter is a way out that only counts what arrives.
type counter struct {
	live chan struct{}
	once sync.Once
	got  *atomic.Int64
}

func (c *counter) Write(p []byte) error {
	for _, b := range p {
		switch b {
		case 'E': // the first byte of an event's line, and in no other place of the benchmark's events
			c.got.Add(1)
		case 'v': // only roxy:live has one
			c.once.Do(func() { close(c.live) })
		}
	}
	return nil
}

func (c *counter) SetDeadline(time.Time) {}

// bareEncoding is small enough to leave the hub's own cost to see.
type bareEncoding struct{}

func (bareEncoding) Name() string { return "bare" }

func (bareEncoding) AppendEvent(dst []byte, _ roxy.Cursor, _ string, _ []byte) []byte {
	return append(dst, 'E')
}

func (bareEncoding) AppendControl(dst []byte, c Control) []byte {
	if c.Type == "roxy:live" {
		return append(dst, 'v')
	}
	return append(dst, '-')
}

func benchHub(b *testing.B) *Hub {
	b.Helper()
	e, err := disk.Open("log", disk.Options{FS: vfs.NewMem()})
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
	return h
}

func (c *counter) follow(b *testing.B, h *Hub, patterns ...string) {
	b.Helper()
	sub := Subscription{Identity: roxy.Identity{Tenant: "bar", User: "u", Grant: roxy.Grant{Read: []roxy.Pattern{pattern(b, "**")}}}, Heartbeat: time.Hour, Encoding: bareEncoding{}}
	for _, p := range patterns {
		sub.Patterns = append(sub.Patterns, pattern(b, p))
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		if err := h.Subscribe(ctx, sub, c); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); running.Wait() })
	<-c.live
}

// Publishing to one of many own topics must cost what it costs with few: the index is never scanned.
func BenchmarkPublishToOneOwnTopic(b *testing.B) {
	for _, own := range []int{50, 5000} {
		b.Run(fmt.Sprintf("topics=%d", own), func(b *testing.B) {
			h := benchHub(b)
			var got atomic.Int64
			for i := range own {
				c := &counter{live: make(chan struct{}), got: &got}
				c.follow(b, h, fmt.Sprintf("own/%d", i), "shared")
			}
			me := roxy.Identity{Tenant: "bar", User: "u", Grant: roxy.Grant{Publish: []roxy.Pattern{pattern(b, "**")}}}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				topic, _ := pattern(b, fmt.Sprintf("own/%d", n*7919%own)).Topic()
				if _, err := h.Publish(context.Background(), me, []roxy.Event{{Topic: topic, Data: []byte(`{"n":1}`)}}); err != nil {
					b.Fatal(err)
				}
				n++
			}
			for got.Load() < int64(n) {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// One event to many streams of one class.
func BenchmarkFanOut(b *testing.B) {
	for _, streams := range []int{100, 10_000} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			h := benchHub(b)
			var got atomic.Int64
			for range streams {
				c := &counter{live: make(chan struct{}), got: &got}
				c.follow(b, h, "shared")
			}
			me := roxy.Identity{Tenant: "bar", User: "u", Grant: roxy.Grant{Publish: []roxy.Pattern{pattern(b, "**")}}}
			topic, _ := pattern(b, "shared").Topic()
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				if _, err := h.Publish(context.Background(), me, []roxy.Event{{Topic: topic, Data: []byte(`{"n":1}`)}}); err != nil {
					b.Fatal(err)
				}
				n++
				for got.Load() < n*int64(streams) {
					time.Sleep(10 * time.Microsecond)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*int64(streams)), "ns/delivery")
		})
	}
}
