package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy/engine"
)

// Pebble takes damage in the last 32 KiB of its log for a write that a crash cut short, and forgets what follows:
// offsets that were given away would be given away again. So every group has a number, kept in its batch, and the
// number of the last one acknowledged stands in a file beside the store. It is written after the group's sync and
// never synced itself: what it says is always durable, at worst it says too little after a power cut.
const (
	ackedName  = "ACKED"
	ackedBytes = 8 + 4 // number, checksum
	keyGroup   = 'g'   // the number of the newest group in the store
)

// acked remembers the newest group whose callers were answered. Only Open and the committer use it.
type acked struct {
	file vfs.File
	last uint64
}

// openAcked opens the file beside db and holds it against the store. It returns engine.ErrCorrupt when acknowledged
// groups are missing. When a store that holds something comes without the file, as one restored from a backup or
// given up as lost should, every log begins a new epoch: nobody can tell which offsets were given away.
func openAcked(fs vfs.FS, dir string, db *pebble.DB) (*acked, error) {
	last, err := newestGroup(db)
	if err != nil {
		return nil, err
	}
	a := &acked{last: last}
	path := fs.PathJoin(dir, ackedName)
	_, statErr := fs.Stat(path)
	if a.file, err = fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err != nil {
		return nil, err
	}
	switch {
	case statErr == nil:
		err = a.verify(path)
	case !errors.Is(statErr, os.ErrNotExist):
		err = statErr
	case last > 0:
		err = renewEpochs(db)
	}
	if err == nil {
		err = a.create(fs, dir)
	}
	if err != nil {
		return nil, errors.Join(err, a.file.Close())
	}
	return a, nil
}

// verify returns ErrCorrupt when the store lacks a group that the file knows of.
func (a *acked) verify(path string) error {
	b := make([]byte, ackedBytes)
	if n, _ := a.file.ReadAt(b, 0); n < ackedBytes || crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) {
		return nil // it was just being created or written: it knows nothing
	}
	if n := binary.BigEndian.Uint64(b); n > a.last {
		return fmt.Errorf("%w: the newest %d acknowledged commits are gone; to go on without them remove %s, and every log begins a new epoch",
			engine.ErrCorrupt, n-a.last, path)
	}
	return nil
}

// create makes the file durable, so that it is missing only when somebody removed it.
func (a *acked) create(fs vfs.FS, dir string) error {
	if err := a.write(a.last); err != nil {
		return err
	}
	if err := a.file.Sync(); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// write notes that group n was acknowledged.
func (a *acked) write(n uint64) error {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, ackedBytes), n)
	_, err := a.file.WriteAt(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), 0)
	return err
}

func newestGroup(db *pebble.DB) (uint64, error) {
	value, closer, err := db.Get([]byte{keyGroup})
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		err = fmt.Errorf("%w: a group number of %d bytes", engine.ErrCorrupt, len(value))
	}
	n := uint64(0)
	if err == nil {
		n = binary.BigEndian.Uint64(value)
	}
	return n, errors.Join(err, closer.Close())
}

// renewEpochs gives every log a new epoch.
func renewEpochs(db *pebble.DB) (err error) {
	batch := db.NewBatch()
	defer func() { err = errors.Join(err, batch.Close()) }()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMeta}, UpperBound: []byte{keyMeta + 1}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		m, err := decodeMeta(it.Value())
		if err != nil {
			return err
		}
		m.epoch = newEpoch()
		if err := batch.Set(it.Key(), m.encode(), nil); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return batch.Commit(pebble.Sync)
}
