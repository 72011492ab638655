package disk

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy/engine"
)

// receipt is what is kept of an idempotency key.
type receipt struct {
	offset uint64
	time   time.Time
	print  [16]byte
}

const receiptBytes = 8 + 8 + 16

func (r receipt) put(b []byte) {
	binary.BigEndian.PutUint64(b, r.offset)
	binary.BigEndian.PutUint64(b[8:], uint64(r.time.UnixNano()))
	copy(b[16:], r.print[:])
}

func readReceipt(b []byte) (receipt, error) {
	if len(b) != receiptBytes {
		return receipt{}, fmt.Errorf("%w: a receipt of %d bytes", engine.ErrCorrupt, len(b))
	}
	return receipt{
		offset: binary.BigEndian.Uint64(b),
		time:   time.Unix(0, int64(binary.BigEndian.Uint64(b[8:]))), //nolint:gosec // as put wrote it
		print:  [16]byte(b[16:]),
	}, nil
}

// bucket numbers the spans of one IdempotencyTTL each. A key is looked for in the span of now and the one before, and
// whole spans are deleted.
func (e *Engine) bucket(now time.Time) uint32 {
	return uint32(now.UnixNano() / int64(e.opts.IdempotencyTTL)) //nolint:gosec // days since 1970 by default
}

// lookUp finds the receipt of a key that was used less than IdempotencyTTL ago.
func (g *group) lookUp(scope []byte) (receipt, bool, error) {
	if r, ok := g.keys[string(scope)]; ok {
		return r, true, nil
	}
	var r receipt
	found, err := g.seek(keyReceipt, scope, func(value []byte) (at time.Time, err error) {
		r, err = readReceipt(value)
		return r.time, err
	})
	return r, found, err
}

// seek looks a scope up among what earlier groups kept of one kind, and reports whether read found something younger
// than IdempotencyTTL.
func (g *group) seek(kind byte, scope []byte, read func(value []byte) (time.Time, error)) (bool, error) {
	if g.seen == nil {
		it, err := g.e.kept()
		if err != nil {
			return false, err
		}
		g.seen = it
	}
	return g.e.seek(g.seen, g.now, kind, scope, read)
}

// kept returns an iterator for seek. One serves for many keys, with the filters of all levels: DB.Get leaves out the last
// level's, where nearly all keys are, and then reads a block for each of them (46,000 keyed commits/s instead of 100,000).
func (e *Engine) kept() (*pebble.Iterator, error) {
	it, err := e.db.NewIter(&pebble.IterOptions{
		LowerBound: []byte{keyReceipt}, UpperBound: []byte{keyResult + 1}, UseL6Filters: true,
	})
	return it, storeError(err)
}

func (e *Engine) seek(it *pebble.Iterator, now time.Time, kind byte, scope []byte, read func(value []byte) (time.Time, error)) (bool, error) {
	var key []byte
	for _, bucket := range [...]uint32{e.bucket(now), e.bucket(now) - 1} {
		key = append(appendBucketKey(key[:0], kind, bucket), scope...)
		if !it.SeekPrefixGE(key) {
			if err := it.Error(); err != nil {
				return false, storeError(err)
			}
			continue
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return false, storeError(err)
		}
		at, err := read(value)
		if err != nil {
			return false, err
		}
		if now.Sub(at) < e.opts.IdempotencyTTL {
			return true, nil
		}
	}
	return false, nil
}
