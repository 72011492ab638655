package hub

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// fiftyFields is an entity of 2 KB; change makes another one.
func fiftyFields(b *testing.B, change int) []byte {
	b.Helper()
	var doc bytes.Buffer
	doc.WriteByte('{')
	for i := range 50 {
		value := i
		if i%25 == 0 {
			value += change
		}
		fmt.Fprintf(&doc, `"field%02d":{"a":"some text","b":%d,"cost":%d},`, i, value, value)
	}
	canonical, err := document.Document(append(bytes.TrimSuffix(doc.Bytes(), []byte(",")), '}'))
	if err != nil {
		b.Fatal(err)
	}
	return canonical
}

// writerOf is who may do everything.
func writerOf(b *testing.B, roles ...string) roxy.Identity {
	b.Helper()
	everything := []roxy.Pattern{pattern(b, "**")}
	return roxy.Identity{Tenant: "bar", User: "u", Roles: roles, Grant: roxy.Grant{Read: everything, Write: everything, Publish: everything}}
}

// One change of two fields of fifty, to one view and to five.
func BenchmarkDelta(b *testing.B) {
	for _, views := range []int{1, 5} {
		b.Run(fmt.Sprintf("views=%d", views), func(b *testing.B) {
			h := benchHub(b)
			var rules []FieldRule
			for i := range 5 { // role n sees all but the costs of the fields that end in n
				for j := range 5 {
					path, err := roxy.ParseFieldPath(fmt.Sprintf("field%d%d.cost", j, i))
					if err != nil {
						b.Fatal(err)
					}
					rules = append(rules, FieldRule{Pattern: pattern(b, "**"), Path: path, Roles: []string{fmt.Sprintf("role%d", (i+1)%5), "boss"}})
				}
			}
			if err := h.SetFields(rules); err != nil {
				b.Fatal(err)
			}
			var got atomic.Int64
			for i := range views {
				c := &counter{live: make(chan struct{}), got: &got}
				follow(b, h, Subscription{Identity: writerOf(b, fmt.Sprintf("role%d", i)), Encoding: bareEncoding{}}, c, c.live)
			}
			topic, _ := pattern(b, "shared").Topic()
			boss, n := writerOf(b, "boss"), int64(0)
			docs := [][]byte{fiftyFields(b, 1), fiftyFields(b, 2)}
			b.ReportAllocs()
			for b.Loop() {
				m := roxy.Mutation{Op: roxy.Put, Topic: topic, Data: docs[n%2], Guard: roxy.GuardNone}
				if _, err := h.Mutate(context.Background(), boss, []roxy.Mutation{m}); err != nil {
					b.Fatal(err)
				}
				n++
				for got.Load() < n*int64(views) {
					time.Sleep(10 * time.Microsecond)
				}
			}
		})
	}
}

// A snapshot of fifty thousand entities of 200 bytes, to one stream and to twenty that begin at once. rows/s counts each
// stream's; held is what the heap had more than before, at most.
func BenchmarkSnapshot(b *testing.B) {
	const entities = 50_000
	h := benchHub(b)
	by := writerOf(b)
	for from := 0; from < entities; from += 1000 {
		mutations := make([]roxy.Mutation, 1000)
		for i := range mutations {
			topic, _ := pattern(b, fmt.Sprintf("orders/%d", from+i)).Topic()
			doc, err := document.Document(fmt.Appendf(nil, `{"order":%d,"table":12,"items":[{"n":2,"sku":"beer-05"}],"note":"%0100d"}`, from+i, i))
			if err != nil {
				b.Fatal(err)
			}
			mutations[i] = roxy.Mutation{Op: roxy.Put, Topic: topic, Data: doc, Guard: roxy.GuardNone}
		}
		if _, err := h.Mutate(context.Background(), by, mutations); err != nil {
			b.Fatal(err)
		}
	}
	h.LimitReplays(1e9, 1e9) // the bound on what streams that catch up may cost is not what is measured
	for _, streams := range []int{1, 20} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			peak := watchHeap(b)
			for b.Loop() {
				b.StopTimer() // another snapshot than the one before, which is known for a while
				time.Sleep(snapshotLife + 100*time.Millisecond)
				b.StartTimer()
				var got atomic.Int64
				var all sync.WaitGroup
				for range streams {
					c := &lines{live: make(chan struct{}), got: &got}
					all.Go(func() {
						follow(b, h, Subscription{Identity: by, Snapshot: true, Encoding: wholeEncoding{}}, c, c.live)()
					})
				}
				all.Wait()
				if n := got.Load(); n != int64(streams*(entities+2)) { // and a greeting, and that it is live
					b.Fatalf("%d lines, want %d", n, streams*(entities+2))
				}
			}
			b.ReportMetric(float64(b.N*streams*entities)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(peak())/(1<<20), "held-MB")
		})
	}
}

// watchHeap returns what tells how much more than now the heap held meanwhile, at most.
func watchHeap(b *testing.B) (peak func() uint64) {
	b.Helper()
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	var most atomic.Uint64
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				most.Store(max(most.Load(), heap()))
			}
		}
	})
	return func() uint64 {
		close(stop)
		watching.Wait()
		return most.Load() - min(most.Load(), before)
	}
}

// wholeEncoding spells as much as a transport does.
type wholeEncoding struct{}

func (wholeEncoding) Name() string { return "whole" }

func (wholeEncoding) AppendEvent(dst []byte, _ roxy.Cursor, _ string, envelope []byte) []byte {
	return append(append(dst, envelope...), '\n')
}

func (wholeEncoding) AppendControl(dst []byte, c Control) []byte {
	return append(append(dst, c.Type...), '\n')
}

// lines is a way out that counts lines.
type lines struct {
	live chan struct{}
	got  *atomic.Int64
}

func (l *lines) Write(p []byte) error {
	l.got.Add(int64(bytes.Count(p, []byte("\n"))))
	if bytes.HasSuffix(p, []byte("roxy:live\n")) {
		close(l.live)
	}
	return nil
}

func (l *lines) SetDeadline(time.Time) {}

// follow subscribes to everything, and returns, when the stream is live, what ends it.
func follow(b *testing.B, h *Hub, sub Subscription, to Sink, live <-chan struct{}) (stop func()) {
	b.Helper()
	sub.Patterns, sub.Heartbeat = []roxy.Pattern{pattern(b, "**")}, time.Hour
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() {
		if err := h.Subscribe(ctx, sub, to); err != nil {
			b.Error(err)
		}
	})
	stop = func() { cancel(); running.Wait() }
	b.Cleanup(stop)
	<-live
	return stop
}
