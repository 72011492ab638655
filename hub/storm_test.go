package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

// Streams that come back at once, more than may catch up: some wait, some are sent away and come again, in the
// end all have everything, and the log was read far less often than it was given.
func TestStormIsServedInItsTurnAndLosesNothing(t *testing.T) {
	f := startHub(t, Options{ReplayRate: 300_000, ReplayBurst: replayStep})
	f.replayWait = 5 * time.Millisecond
	me := all(t, "bar", "u1")
	const n, streams = 1000, 300
	var batch []roxy.Event
	for i := range n {
		batch = append(batch, event(t, "a", fmt.Sprint(i)))
	}
	f.publish(t, me, batch...)
	for range 600 { // a second of work that is before them
		f.replays.ReserveN(time.Now(), replayStep)
	}
	began := time.Now()
	var refused atomic.Int64
	var storm sync.WaitGroup
	for range streams {
		storm.Go(func() {
			for {
				r := newRecorder()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					done <- f.Subscribe(ctx, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "*")}, Earliest: true, Heartbeat: time.Minute, Encoding: lineEncoding{}, Transport: "test"}, r)
				}()
				live := make(chan struct{})
				go func() {
					defer close(live)
					r.awaitLine(t, "C roxy:live")
				}()
				select {
				case err := <-done:
					cancel()
					_ = r.Write([]byte("C roxy:live\n")) // so that nobody waits for it
					<-live
					p, ok := errors.AsType[*roxy.Problem](err)
					if !ok || p.Code != roxy.Overloaded || p.RetryAfter <= 0 {
						t.Errorf("refused by %v", err)
						return
					}
					refused.Add(1)
					time.Sleep(p.RetryAfter/2 + rand.N(p.RetryAfter))
					continue
				case <-live:
				}
				if offsets, _ := events(r.lines()); len(offsets) != n {
					t.Errorf("got %d events", len(offsets))
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				return
			}
		})
	}
	storm.Wait()
	s := f.Stats()
	t.Logf("%s: %d refusals, %d delays, %d reads shared by %d", time.Since(began).Round(time.Millisecond), refused.Load(), s.ReplaysDelayed, s.ChunksRead, s.ChunksShared)
	if s.ReplaysDelayed == 0 || s.ReplaysRefused == 0 || uint64(refused.Load()) != s.ReplaysRefused {
		t.Errorf("%d delays, %d refusals, %d of them told", s.ReplaysDelayed, s.ReplaysRefused, refused.Load())
	}
	if s.ChunksRead > s.ChunksShared/4 {
		t.Errorf("%d stretches were read, %d shared", s.ChunksRead, s.ChunksShared)
	}
}

func TestPagesWaitTheirTurnAndAreRefusedWhenItIsFar(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.mutate(t, me, put(t, "orders/1", `{"n":1}`))
	page := func() error {
		list, _, _, err := f.Entities(t.Context(), me, pattern(t, "orders/*"), roxy.Topic{}, replayStep)
		if err == nil && len(list) != 1 {
			t.Errorf("a page of %d entities", len(list))
		}
		return err
	}
	if err := page(); err != nil {
		t.Fatalf("the first page: %v", err)
	}
	f.LimitReplays(0.001, replayStep) // room for one page at most, and for the next one in six days
	_ = page()                        // which takes that room, where there is any
	before := f.Stats().ReplaysRefused
	for range 2 { // what was refused was not charged
		err := page()
		if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.Overloaded || p.RetryAfter <= 0 {
			t.Fatalf("a page that has far to go: %v", err)
		}
	}
	if got := f.Stats().ReplaysRefused - before; got != 2 {
		t.Errorf("%d refusals are counted", got)
	}
	f.LimitReplays(1_000_000, replayStep)
	if err := page(); err != nil {
		t.Errorf("a page when there is room again: %v", err)
	}
}
