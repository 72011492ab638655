package disk

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
)

const (
	ballastName = "BALLAST"
	// maxBallastBytes is what the log and the manifest may still need once the disk is full: a few groups.
	maxBallastBytes = 16 << 20
	// fullRetry is how often a write that must not fail is tried again on a full disk, tableRetry how long a flush or
	// a compaction waits before it fails, so that Pebble's own repetition does not spin.
	fullRetry  = 100 * time.Millisecond
	tableRetry = time.Second
	// fullRetryAfter is what a publisher is told when the disk is full.
	fullRetryAfter = 5 * time.Second
)

// errFull is the cause behind the problem of a commit that the low-water mark refused.
var errFull = errors.New("disk: below its low-water mark")

// space is the file system that Pebble writes to, and the watch over what is free on it. Pebble cannot go on after a
// failed write to its log or manifest, so on a full disk such a write gives up the ballast and waits, while a table is
// left to fail and to be written again. Why it is not vfs.OnDiskFull: docs/decisions/0002-full-disk.md.
type space struct {
	vfs.FS
	dir     string
	minFree uint64
	log     *slog.Logger
	stop    chan struct{} // closed when the engine closes: nothing waits any more
	full    atomic.Bool   // whether the last check refused
	wanted  atomic.Uint64 // what the last check that refused was asked for
	lent    atomic.Uint64 // freed for a compaction that gives space back: until it has, the low-water mark is that much higher

	mu       sync.Mutex
	reserved bool // the ballast is there; under mu
}

func newSpace(fs vfs.FS, dir string, minFree uint64, log *slog.Logger) *space {
	return &space{FS: fs, dir: dir, minFree: minFree, log: log, stop: make(chan struct{})}
}

func (s *space) close() { close(s.stop) }

// free returns the bytes that are free, and false when the file system does not say.
func (s *space) free() (uint64, bool) {
	usage, err := s.FS.GetDiskUsage(s.dir)
	if err != nil {
		return 0, false
	}
	return usage.AvailBytes, true
}

// check returns a problem when need more bytes would leave less than the low-water mark. It asks the system each
// time: that takes a microsecond beside the sync of a group.
func (s *space) check(need uint64) error {
	free, known := s.free()
	if !known {
		return nil
	}
	if free < s.mark(need) {
		s.wanted.Store(need)
		if !s.full.Swap(true) {
			s.log.Error("disk full: commits are refused", "dir", s.dir, "free", free, "min_free", s.minFree)
		}
		return &roxy.Problem{
			Code: roxy.Overloaded, RetryAfter: fullRetryAfter, Err: errFull,
			Detail: "the hub's disk is full; nothing was written",
		}
	}
	if s.full.Swap(false) {
		s.log.Info("disk has space again", "dir", s.dir, "free", free)
	}
	s.reserve()
	return nil
}

// mark returns what must be free for need more bytes, which are written to the log now and to a table later.
func (s *space) mark(need uint64) uint64 { return s.minFree + s.lent.Load() + 2*need }

// enough reports whether there is space for what was refused last.
func (s *space) enough() bool {
	free, known := s.free()
	return !known || free >= s.mark(s.wanted.Load())
}

// reserve writes the ballast unless it is there or would take from the low-water mark.
func (s *space) reserve() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserved {
		return
	}
	size := min(s.minFree/4, maxBallastBytes)
	free, known := s.free()
	if !known || free < s.minFree+2*size {
		return
	}
	path := s.FS.PathJoin(s.dir, ballastName)
	if info, err := s.FS.Stat(path); err == nil && info.Size() == int64(size) {
		s.reserved = true
		return
	}
	if err := writeBallast(s.FS, path, int(size)); err != nil {
		s.log.Warn("no reserve for a full disk", "dir", s.dir, "err", errors.Join(err, s.FS.Remove(path)))
		return
	}
	s.reserved = true
}

func writeBallast(fs vfs.FS, path string, size int) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	chunk := make([]byte, 1<<20)
	for size > 0 && err == nil {
		var n int
		n, err = f.Write(chunk[:min(size, len(chunk))])
		size -= n
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	return nil
}

// release gives the ballast up.
func (s *space) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.reserved {
		return
	}
	s.reserved = false
	err := s.FS.Remove(s.FS.PathJoin(s.dir, ballastName))
	s.log.Error("disk full: the reserve is given up", "dir", s.dir, "err", err)
}

// pause waits for d and reports whether the engine is still open.
func (s *space) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stop:
		return false
	}
}

// insist tries write until it does not fail for want of space, or the engine closes.
func (s *space) insist(write func() error) error {
	for {
		err := write()
		if !noSpace(err) {
			return err
		}
		s.release()
		if err = write(); !noSpace(err) || !s.pause(fullRetry) {
			return err
		}
	}
}

func noSpace(err error) bool {
	return err != nil && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// table reports whether name is a file that Pebble writes anew when that failed.
func table(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Create creates the file.
func (s *space) Create(name string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	if table(name) {
		f, err = s.FS.Create(name, category)
		if noSpace(err) {
			s.pause(tableRetry)
		}
	} else {
		err = s.insist(func() error { f, err = s.FS.Create(name, category); return err })
	}
	return s.wrap(f, name), err
}

// ReuseForWrite renames a log and opens it, or creates a new one when dropIdleLogs has deleted it.
func (s *space) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (f vfs.File, err error) {
	err = s.insist(func() error { f, err = s.FS.ReuseForWrite(from, to, category); return err })
	if errors.Is(err, os.ErrNotExist) {
		return s.Create(to, category)
	}
	return s.wrap(f, to), err
}

// Unwrap returns the file system below.
func (s *space) Unwrap() vfs.FS { return s.FS }

func (s *space) wrap(f vfs.File, name string) vfs.File {
	if f == nil {
		return nil
	}
	return &spaceFile{File: f, space: s, table: table(name)}
}

// spaceFile is a file that was created through a space.
type spaceFile struct {
	vfs.File
	space *space
	table bool
}

// Write writes p, or waits for the space to do so.
func (f *spaceFile) Write(p []byte) (int, error) {
	if f.table {
		n, err := f.File.Write(p)
		if noSpace(err) {
			f.space.pause(tableRetry)
		}
		return n, err
	}
	written := 0
	err := f.space.insist(func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}
