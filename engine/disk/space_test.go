package disk

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// megabyte returns events of 1 MiB that no compression makes smaller.
func megabyte(t testing.TB) []roxy.Event {
	t.Helper()
	events := make([]roxy.Event, 16)
	for i := range events {
		random := make([]byte, 48<<10)
		_, _ = rand.Read(random)
		events[i] = event(t, fmt.Sprintf("orders/%d", i), "")
		events[i].Data = fmt.Appendf(nil, "%q", base64.StdEncoding.EncodeToString(random))
	}
	return events
}

// commitUntilRefused returns how many events were acknowledged before the first error, and that error.
func commitUntilRefused(t *testing.T, e *Engine, timeout time.Duration) (uint64, error) {
	t.Helper()
	var acked uint64
	events := megabyte(t)
	for acked < 64<<10 {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		r, err := e.Commit(ctx, "bar", events)
		cancel()
		if err != nil {
			return acked, err
		}
		acked = r.Entries[len(r.Entries)-1].Offset
	}
	t.Fatal("the disk never filled")
	return 0, nil
}

// wantLog reads all of the log and fails unless it holds first to at least last.
func wantLog(t *testing.T, e *Engine, first, last uint64) {
	t.Helper()
	next := first
	for ev, err := range e.Read(t.Context(), "bar", engine.Query{After: first - 1}) {
		if err != nil {
			t.Fatalf("read, at %d: %v", next, err)
		}
		if ev.Offset != next {
			t.Fatalf("event %d in the place of %d", ev.Offset, next)
		}
		next++
	}
	if next <= last {
		t.Fatalf("the log ends at %d, acknowledged were %d", next-1, last)
	}
}

// eventually tries until it holds; how long that takes is the disk's business.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAFullDiskRefusesCommitsUntilSpaceReturns(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		e := openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree})
		first, err := e.Commit(t.Context(), "bar", megabyte(t))
		if err != nil {
			t.Fatal(err)
		}
		release := disk.hog(t, smallMinFree/2)
		_, err = e.Commit(t.Context(), "bar", megabyte(t))
		problem, ok := errors.AsType[*roxy.Problem](err)
		if !ok || problem.Code != roxy.Overloaded || problem.RetryAfter != fullRetryAfter {
			t.Fatalf("a commit on a full disk: %v", err)
		}
		if s := e.Stats(); s.Refusals.Full != 1 || s.FreeBytes > smallMinFree {
			t.Errorf("stats %+v", s)
		}
		wantLog(t, e, 1, 16)
		if b, err := e.Bounds(t.Context(), "bar"); err != nil || b.Epoch != first.Epoch || b.Head != 16 {
			t.Errorf("bounds %+v, %v", b, err)
		}
		release()
		if _, err := e.Commit(t.Context(), "bar", megabyte(t)); err != nil {
			t.Fatalf("a commit after space returned: %v", err)
		}
		wantLog(t, e, 1, 32)
	})
}

func TestALogThatFillsTheDiskGoesOnWhenItIsTrimmed(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		e := openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree})
		acked, err := commitUntilRefused(t, e, time.Minute)
		if !errors.Is(err, roxy.ErrOverloaded) {
			t.Fatalf("after %d events: %v", acked, err)
		}
		wantLog(t, e, 1, acked)
		cut := acked * 9 / 10
		if err := e.Trim(t.Context(), "bar", cut); err != nil {
			t.Fatalf("trim on a full disk: %v", err)
		}
		eventually(t, "a commit after the trim", func() bool {
			_, err := e.Commit(t.Context(), "bar", megabyte(t))
			return err == nil
		})
		wantLog(t, e, cut+1, acked+16)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		wantLog(t, openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree}), cut+1, acked+16)
	})
}

func TestATrimBeforeTheDiskIsFullIsGivenBackWhenItIs(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		e := openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree})
		var cut uint64
		for range 3 * memTableBytes >> 20 {
			r, err := e.Commit(t.Context(), "bar", megabyte(t))
			if err != nil {
				t.Fatal(err)
			}
			cut = r.Entries[len(r.Entries)-1].Offset
		}
		if err := e.Trim(t.Context(), "bar", cut); err != nil {
			t.Fatal(err)
		}
		// Enough for the trim's check of a few bytes, not for a megabyte.
		disk.hog(t, smallMinFree+1<<20)
		eventually(t, "a commit on a disk where a trim left something to give back", func() bool {
			_, err := e.Commit(t.Context(), "bar", megabyte(t))
			return err == nil
		})
		wantLog(t, e, cut+1, cut+16)
	})
}

func TestACompactionThatFoundNoSpaceIsRepeated(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		fs := &crampedFS{FS: disk.fs}
		e := openAt(t, disk.dir, Options{FS: fs, MinFree: smallMinFree})
		var cut uint64
		for range 3 * memTableBytes >> 20 {
			r, err := e.Commit(t.Context(), "bar", megabyte(t))
			if err != nil {
				t.Fatal(err)
			}
			cut = r.Entries[len(r.Entries)-1].Offset
		}
		if err := e.db.Flush(); err != nil { // nothing but compactions is to want space
			t.Fatal(err)
		}
		disk.hog(t, smallMinFree/2)
		fs.cramped.Store(true)
		if err := e.Trim(t.Context(), "bar", cut); err != nil {
			t.Fatalf("trim on a full disk: %v", err)
		}
		eventually(t, "a second compaction that fails", func() bool {
			return fs.failed.Load() > 1 || e.space.enough() // Pebble can drop whole tables, which takes no space
		})
		fs.cramped.Store(false)
		eventually(t, "a commit after the trim", func() bool {
			_, err := e.Commit(t.Context(), "bar", megabyte(t))
			return err == nil
		})
		wantLog(t, e, cut+1, cut+16)
	})
}

func TestDroppingIdleLogsLosesNothing(t *testing.T) {
	dir := t.TempDir()
	e := openAt(t, dir, Options{})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				e.dropIdleLogs()
			}
		}
	}()
	var acked uint64
	events := megabyte(t)
	for range 96 { // six memtables
		r, err := e.Commit(t.Context(), "bar", events)
		if err != nil {
			t.Fatal(err)
		}
		acked = r.Entries[len(r.Entries)-1].Offset
	}
	close(stop)
	<-stopped
	if e.space.lent.Load() == 0 {
		t.Error("no log was idle")
	}
	wantLog(t, e, 1, acked)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	wantLog(t, openAt(t, dir, Options{}), 1, acked)
}

func TestAWriteThatMeetsAFullDiskWaitsForSpace(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		e, err := Open(disk.dir, Options{FS: blindFS{disk.fs}, MinFree: smallMinFree})
		if err != nil {
			t.Fatal(err)
		}
		release := disk.hog(t, 24<<20)
		acked, err := commitUntilRefused(t, e, time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d events: %v", acked, err)
		}
		ballast := filepath.Join(disk.dir, ballastName)
		if _, err := os.Stat(ballast); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the ballast is still there: %v", err)
		}
		wantLog(t, e, 1, acked)
		release()
		eventually(t, "a commit after space returned", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			r, err := e.Commit(ctx, "bar", megabyte(t)[:1])
			if err == nil {
				acked = r.Entries[0].Offset
			}
			return err == nil
		})
		if _, err := os.Stat(ballast); err != nil {
			t.Errorf("the ballast did not come back: %v", err)
		}
		if e.Stats().Failed {
			t.Error("the store failed")
		}
		wantLog(t, e, 1, acked)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		wantLog(t, openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree}), 1, acked)
	})
}

func TestClosingOnAFullDiskEndsAndLosesNothing(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		e, err := Open(disk.dir, Options{FS: blindFS{disk.fs}, MinFree: smallMinFree})
		if err != nil {
			t.Fatal(err)
		}
		release := disk.hog(t, 24<<20)
		acked, err := commitUntilRefused(t, e, time.Second)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d events: %v", acked, err)
		}
		if err := e.Close(); err == nil {
			t.Error("close of a store that could not be written says nothing")
		}
		release()
		wantLog(t, openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree}), 1, acked)
	})
}
