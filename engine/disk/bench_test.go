package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// benchEvent is an order of a bar, about 250 bytes as a record.
func benchEvent(b *testing.B, n int) roxy.Event {
	b.Helper()
	ev := event(b, fmt.Sprintf("orders/%d", n%1000), "")
	ev.Data = fmt.Appendf(nil, `{"order":%d,"table":12,"items":[{"sku":"beer-05","n":2},{"sku":"olives","n":1}],"note":%q}`, n, strings.Repeat("x", 80))
	return ev
}

// BenchmarkFloor is what the disk itself takes for one group: a write of 4 KiB and an fdatasync.
func BenchmarkFloor(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/floor")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 64<<20); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	for i := 0; b.Loop(); i++ {
		if _, err := f.WriteAt(buf, int64(i%16384)*4096); err != nil {
			b.Fatal(err)
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommit appends single events from many callers at once.
func BenchmarkCommit(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		for _, keyed := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/keyed=%v", callers, keyed), func(b *testing.B) {
				e := open(b, Options{})
				drain(b, e)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for {
							n := int(next.Add(1))
							if n > b.N {
								return
							}
							ev := benchEvent(b, n)
							if keyed {
								ev.ID = fmt.Sprintf("order-%d", n)
							}
							if _, err := e.Commit(context.Background(), "bar", []roxy.Event{ev}); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				s := e.Stats()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(s.Commits)/float64(s.Groups), "calls/sync")
			})
		}
	}
}

// drain reads a tail of e until the benchmark ends, as a hub would.
func drain(b *testing.B, e *Engine) {
	b.Helper()
	tail := e.Tail()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := tail.Next(context.Background()); err != nil {
				return
			}
		}
	})
	b.Cleanup(func() {
		tail.Close()
		wg.Wait()
	})
}

func fill(b *testing.B, e *Engine, n int) {
	b.Helper()
	for i := 0; i < n; i += 1000 {
		events := make([]roxy.Event, min(1000, n-i))
		for j := range events {
			events[j] = benchEvent(b, i+j)
		}
		if _, err := e.Commit(context.Background(), "bar", events); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCommitArray appends 100 events with each call.
func BenchmarkCommitArray(b *testing.B) {
	e := open(b, Options{})
	drain(b, e)
	events := make([]roxy.Event, 100)
	for i := range events {
		events[i] = benchEvent(b, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Commit(context.Background(), "bar", events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRead reads a log of a million events: all of it, and one topic of a thousand.
func BenchmarkRead(b *testing.B) {
	e := open(b, Options{})
	const n = 1_000_000
	fill(b, e, n)
	topic := benchEvent(b, 7).Topic
	for name, query := range map[string]engine.Query{
		"scan":          {},
		"near the head": {After: n - 10},
		"one topic":     {Topics: []roxy.Topic{topic}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			count := 0
			for b.Loop() {
				for _, err := range e.Read(context.Background(), "bar", query) {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
			}
			b.ReportMetric(float64(count)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(count)/float64(b.N), "events/op")
		})
	}
}

// BenchmarkReopen opens a store of a million events, closed properly or left by a crash, and asks for its head.
func BenchmarkReopen(b *testing.B) {
	const n = 1_000_000
	for _, crashed := range []bool{false, true} {
		b.Run(fmt.Sprintf("crashed=%v", crashed), func(b *testing.B) {
			dir := b.TempDir()
			e, err := Open(dir, Options{})
			if err != nil {
				b.Fatal(err)
			}
			fill(b, e, n)
			left := b.TempDir()
			if crashed { // the files as they are at this moment, the unfinished log among them
				err = errors.Join(e.db.Checkpoint(left+"/0"), e.Close())
			} else {
				err = errors.Join(e.Close(), os.CopyFS(left+"/0", os.DirFS(dir)))
			}
			if err != nil {
				b.Fatal(err)
			}
			for i := 0; b.Loop(); i++ {
				b.StopTimer() // a second opening finds what the first has tidied
				if err := os.CopyFS(fmt.Sprintf("%s/%d", left, i+1), os.DirFS(left+"/0")); err != nil {
					b.Fatal(err)
				}
				unix.Sync() // or Open waits for what the copy has left to write
				b.StartTimer()
				e, err := Open(fmt.Sprintf("%s/%d", left, i+1), Options{})
				if err != nil {
					b.Fatal(err)
				}
				bounds, err := e.Bounds(context.Background(), "bar")
				if err != nil || bounds.Head != n {
					b.Fatalf("%+v, %v", bounds, err)
				}
				b.StopTimer()
				if err := e.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
