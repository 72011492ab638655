package hub

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// Many who read overlapping parts of a log at the same time, while it grows and is trimmed, each get what they would get
// alone.
func TestSharedReadsYieldWhatALogHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, err := disk.Open("log", disk.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = e.Close() }()
		topic, _ := roxy.ParseTopic("orders/1")
		c, head, first := newChunks(e), uint64(0), uint64(1)
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			var batch []roxy.Event
			for range rapid.IntRange(1, 2*chunkEvents).Draw(t, "appended") {
				head++
				batch = append(batch, roxy.Event{Topic: topic, Type: "message", Data: []byte(strconv.FormatUint(head, 10))})
			}
			if _, err := e.Commit(context.Background(), "bar", batch); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(t, "trim") == 0 {
				upTo := rapid.Uint64Range(first-1, head).Draw(t, "up to")
				if err := e.Trim(context.Background(), "bar", upTo); err != nil {
					t.Fatal(err)
				}
				first = max(first, upTo+1)
			}
			var readers sync.WaitGroup
			for range rapid.IntRange(1, 8).Draw(t, "readers") {
				until := rapid.Uint64Range(1, head).Draw(t, "until")
				after := rapid.Uint64Range(0, until).Draw(t, "after")
				readers.Go(func() {
					var got, want []uint64
					read := 0
					for s, err := range c.stretches(context.Background(), "bar", engine.Query{After: after, Until: until}, &read) {
						if errors.Is(err, engine.ErrTrimmed) && after+1 < first {
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
						for i := range s.events {
							ev := &s.events[i]
							if string(ev.Data) != strconv.FormatUint(ev.Offset, 10) || ev.Offset > s.until {
								t.Errorf("up to %d: %+v", s.until, ev)
							}
							got = append(got, ev.Offset)
						}
					}
					for o := after + 1; o <= until; o++ {
						want = append(want, o)
					}
					if !slices.Equal(got, want) {
						t.Errorf("behind %d up to %d of %d…%d: got %d events, want %d", after, until, first, head, len(got), len(want))
					}
				})
			}
			readers.Wait()
		}
	})
}
