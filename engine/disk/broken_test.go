package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// brokenFS is a disk whose syncs of the log fail once broken is set.
type brokenFS struct {
	vfs.FS
	broken *atomic.Bool
}

func (b brokenFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := b.FS.Create(name, category)
	if err != nil || filepath.Ext(name) != ".log" {
		return f, err
	}
	return brokenFile{f, b.broken}, nil
}

type brokenFile struct {
	vfs.File
	broken *atomic.Bool
}

func (f brokenFile) Sync() error     { return errors.Join(f.fails(), f.File.Sync()) }
func (f brokenFile) SyncData() error { return errors.Join(f.fails(), f.File.SyncData()) }

func (f brokenFile) fails() error {
	if f.broken.Load() {
		return &os.PathError{Op: "fdatasync", Path: "log", Err: syscall.EIO}
	}
	return nil
}

func TestAFailedSyncEndsWritingAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	var broken atomic.Bool
	e, err := Open(dir, Options{FS: brokenFS{vfs.Default, &broken}})
	if err != nil {
		t.Fatal(err)
	}
	commitN(t, e, "bar", 10)
	tail := e.Tail()
	broken.Store(true)
	for range 3 {
		if _, err := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "a", "lost")}); err == nil {
			t.Fatal("a commit was acknowledged whose sync failed")
		}
	}
	broken.Store(false) // the disk forgets what it lost: trying again would prove nothing
	if _, err := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "a", "")}); !errors.Is(err, syscall.EIO) {
		t.Errorf("a later commit: %v, want the cause", err)
	}
	if !e.Stats().Failed {
		t.Error("stats do not tell that the store failed")
	}
	n := 0
	for ev, err := range e.Read(t.Context(), "bar", engine.Query{}) {
		if err != nil || ev.ID == "lost" {
			t.Fatalf("read %+v, %v", ev, err)
		}
		n++
	}
	if n != 10 {
		t.Errorf("%d events can be read, want 10", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := tail.Next(ctx); err == nil {
		t.Errorf("the tail yields %+v", got)
	}
	if err := e.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v, want the cause", err)
	}
	wantLog(t, openAt(t, dir, Options{}), 1, 10)
}
