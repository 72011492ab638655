package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// smallDisk is a directory on a disk of a given size.
type smallDisk struct {
	dir string
	fs  vfs.FS
}

const (
	smallDiskBytes = 256 << 20
	// smallMinFree is the least with which all memtables can be flushed. With less, flushes and the log wait for each
	// other's space where a slow machine lets memtables pile up.
	smallMinFree = memTables * memTableBytes
)

// onSmallDisks runs test on a directory with a quota and, where the system lets us mount one, on a file system, each
// of smallDiskBytes.
func onSmallDisks(t *testing.T, test func(t *testing.T, disk smallDisk)) {
	t.Helper()
	t.Run("quota", func(t *testing.T) {
		dir := t.TempDir()
		test(t, smallDisk{dir, quotaFS{vfs.Default, dir, smallDiskBytes}})
	})
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallDiskBytes)); err != nil {
		t.Logf("no mount on this system (%v): the quota alone", err)
		return
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("tmpfs", func(t *testing.T) { test(t, smallDisk{dir, vfs.Default}) })
}

// hog takes all but leave bytes of what is free on the disk, as another program would. release gives them back.
func (d smallDisk) hog(t *testing.T, leave uint64) (release func()) {
	t.Helper()
	path := filepath.Join(d.dir, "hog")
	f, err := d.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for {
		usage, err := d.fs.GetDiskUsage(d.dir)
		if err != nil {
			t.Fatal(err)
		}
		if usage.AvailBytes <= leave {
			break
		}
		if _, err := f.Write(buf[:min(uint64(len(buf)), usage.AvailBytes-leave)]); errors.Is(err, syscall.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// quotaFS is the real file system, full when the files of dir take size bytes.
type quotaFS struct {
	vfs.FS
	dir  string
	size int64
}

func (q quotaFS) left() int64 {
	left := q.size
	entries, _ := os.ReadDir(q.dir)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil {
			left -= info.Size()
		}
	}
	return max(left, 0)
}

func (q quotaFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	left := uint64(q.left())
	return vfs.DiskUsage{AvailBytes: left, TotalBytes: uint64(q.size), UsedBytes: uint64(q.size) - left}, nil
}

func (q quotaFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.Create(name, category)
	return q.limit(f), err
}

func (q quotaFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := q.FS.ReuseForWrite(from, to, category)
	return q.limit(f), err
}

func (q quotaFS) limit(f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return quotaFile{f, q}
}

type quotaFile struct {
	vfs.File
	quota quotaFS
}

// Write writes what still fits, as a file system does.
func (f quotaFile) Write(p []byte) (int, error) {
	fits := min(int64(len(p)), f.quota.left())
	n, err := f.File.Write(p[:fits])
	if err == nil && n < len(p) {
		err = &os.PathError{Op: "write", Path: f.quota.dir, Err: syscall.ENOSPC}
	}
	return n, err
}

// blindFS hides what is free, so that writes meet a full disk in spite of the low-water mark: another program took
// the space between the question and the write.
type blindFS struct{ vfs.FS }

func (b blindFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 40}, nil
}

// crampedFS has no space for the tables of compactions while it is cramped; flushes take little and find it.
type crampedFS struct {
	vfs.FS
	cramped atomic.Bool
	failed  atomic.Int64
}

func (c *crampedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if c.cramped.Load() && category == "pebble-compaction" {
		c.failed.Add(1)
		return nil, &os.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	}
	return c.FS.Create(name, category)
}
