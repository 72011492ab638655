package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// tenant is one log. Everybody reads durable; the rest belongs to the committer.
type tenant struct {
	name    string
	durable atomic.Pointer[engine.Bounds] // what survives a power cut; nil until there is an epoch
	// trimmedTo is the newest offset that was, or is just being, trimmed.
	trimmedTo atomic.Uint64
	// busy is set while a restoration runs, and a moment longer on either side.
	busy atomic.Bool

	meta    meta       // durable, or what the group now being written will make of it
	touched bool       // meta is to be written with this group
	run     int        // where this group's events of the tenant are among its runs; -1 for nowhere
	restore *restoring // nil while none runs
	trail   trail
	acks    *acks // nil until somebody asks
}

// meta is what a log remembers beside its records. It is rewritten with every commit, so that the head survives
// retention.
type meta struct {
	epoch string
	head  uint64
	first uint64 // head+1 when nothing is retained
	total uint64 // bytes of all records ever, as in engine.Stamp
	last  int64  // Time of the newest record, Unix nanoseconds
}

const (
	metaVersion = 1
	metaFixed   = 1 + 4*8 + 4 // version, four numbers, checksum
)

func (m meta) encode() []byte {
	b := make([]byte, 0, metaFixed+len(m.epoch))
	b = append(b, metaVersion)
	for _, n := range [...]uint64{m.head, m.first, m.total, uint64(m.last)} { //nolint:gosec // turned back by decodeMeta
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, m.epoch...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) < metaFixed+1 || len(b) > metaFixed+roxy.MaxEpochBytes || b[0] != metaVersion {
		return meta{}, fmt.Errorf("%w: meta of %d bytes", engine.ErrCorrupt, len(b))
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[end:]) {
		return meta{}, fmt.Errorf("%w: meta has a wrong checksum", engine.ErrCorrupt)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	m := meta{head: n(0), first: n(1), total: n(2), last: int64(n(3)), epoch: string(b[metaFixed-4 : end])} //nolint:gosec // as encode wrote it
	if m.first == 0 || m.first > m.head+1 {
		return meta{}, fmt.Errorf("%w: meta begins at %d with its head at %d", engine.ErrCorrupt, m.first, m.head)
	}
	return m, nil
}

func (m meta) bounds() *engine.Bounds {
	return &engine.Bounds{Epoch: m.epoch, First: m.first, Head: m.head}
}

// newEpoch returns 13 random characters of a-z 2-7: 65 bits, so that no two lives of a log share one by chance.
func newEpoch() string { return strings.ToLower(rand.Text()[:13]) }

// tenants holds every tenant met since the start, each loaded once. A tenant stays: it takes a few hundred bytes and
// only a verified token can name one.
type tenants struct {
	mu     sync.Mutex
	byName map[string]*tenant
}

// get returns the tenant, loading it at first sight. Loading under the lock is what keeps a batch that is visible but
// not yet durable out of it: the committer writes only for tenants that are already here.
func (ts *tenants) get(db *pebble.DB, name string) (*tenant, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t, ok := ts.byName[name]; ok {
		return t, nil
	}
	if err := checkTenant(name); err != nil {
		return nil, err
	}
	t := &tenant{name: name}
	m, found, err := loadMeta(db, name)
	if err != nil {
		return nil, fmt.Errorf("load tenant %s: %w", name, err)
	}
	if found {
		t.meta = m
		t.durable.Store(m.bounds())
		t.trimmedTo.Store(m.first - 1)
		if t.restore, err = loadRestoring(db, name, m.epoch); err != nil {
			return nil, fmt.Errorf("load tenant %s: %w", name, err)
		}
		t.busy.Store(t.restore != nil)
	} else {
		t.meta = meta{first: 1}
	}
	if err := loadAudit(db, name, &t.trail); err != nil {
		return nil, fmt.Errorf("load the audit of tenant %s: %w", name, err)
	}
	ts.byName[name] = t
	return t, nil
}

func (ts *tenants) count() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.byName)
}

// loadMeta reads a tenant's meta and holds it against the end of the log, so that lost records are found before an
// offset is given away twice.
func loadMeta(db *pebble.DB, name string) (m meta, found bool, err error) {
	value, closer, err := db.Get(metaKey(name))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		m.first = 1
	case err != nil:
		return meta{}, false, storeError(err)
	default:
		m, err = decodeMeta(value)
		if cerr := closer.Close(); err == nil {
			err = storeError(cerr)
		}
		if err != nil {
			return meta{}, false, err
		}
		found = true
	}
	it, err := db.NewIter(logRange(name))
	if err != nil {
		return meta{}, false, storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	head := m.first - 1 // of the records
	var stamp engine.Stamp
	if it.Last() {
		if stamp, err = engine.ReadStamp(it.Value()); err != nil {
			return meta{}, false, err
		}
		head = logOffset(it.Key())
	}
	if err = it.Error(); err != nil {
		return meta{}, false, storeError(err)
	}
	if head != m.head || m.first <= m.head && (stamp.Offset != head || stamp.Total != m.total) {
		return meta{}, false, fmt.Errorf("%w: the log ends at %d, its head was %d", engine.ErrCorrupt, head, m.head)
	}
	return m, found, nil
}

// logRange bounds an iterator to one tenant's records.
func logRange(name string) *pebble.IterOptions {
	upper := append([]byte{keyLog}, name...)
	return &pebble.IterOptions{LowerBound: logKey(name, 0), UpperBound: append(upper, 1)}
}

// storeError returns err, marked as engine.ErrCorrupt when Pebble found what it had not written.
func storeError(err error) error {
	if err != nil && pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", engine.ErrCorrupt, err)
	}
	return err
}
