package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy/engine"
)

// Retention bounds one tenant's log. Zero means no bound.
type Retention struct {
	Age    time.Duration
	Events uint64
	Bytes  uint64 // of records, before compression
}

const (
	janitorEvery = 30 * time.Second
	// flushAfter is how many trimmed bytes are worth a flush: before it, the files of what was trimmed stay.
	flushAfter = 32 << 20
)

// retention returns the bounds of the tenant's log. The hub's own tenants hold revocations, which have to outlive
// every token, and little else.
func (o Options) retention(tenant string) Retention {
	if engine.SystemTenant(tenant) {
		return Retention{Age: 90 * 24 * time.Hour, Events: 100_000}
	}
	return o.Retention
}

// janitor forgets what retention bounds no longer allow, every half minute, and at once for a tenant that has grown
// a tenth beyond its number of events. What must be written it asks the committer to write.
func (e *Engine) janitor() {
	e.space.reserve() // here, so that a start does not wait for it
	ticker := time.NewTicker(janitorEvery)
	defer ticker.Stop()
	var bytes uint64 // trimmed since the last flush
	for {
		select {
		case <-e.closing:
			return
		case name := <-e.overgrown:
			bytes += e.tidy(name)
		case <-ticker.C:
			bytes += e.tidyAll()
		}
		if bytes >= flushAfter {
			bytes = 0
			if _, err := e.db.AsyncFlush(); err != nil {
				e.janitorError("flush after a trim", err)
			}
		}
	}
}

// tidyAll holds every tenant against its bounds and drops idempotency keys that have expired.
func (e *Engine) tidyAll() (bytes uint64) {
	if err := e.dropReceipts(); err != nil {
		e.janitorError("drop idempotency keys", err)
	}
	if now := e.opts.now(); now.Sub(e.forgot) >= forgetEvery {
		e.forgot = now
		if err := e.forgetDevices(); err != nil {
			e.janitorError("forget devices", err)
		}
	}
	names, err := e.Tenants()
	if err != nil {
		e.janitorError("list tenants", err)
	}
	for _, name := range names {
		bytes += e.tidy(name)
	}
	return bytes
}

// tidy holds one tenant against its bounds and returns how many bytes it trimmed.
func (e *Engine) tidy(name string) uint64 {
	cut, bytes, err := e.cut(name)
	if err == nil && cut > 0 {
		err = e.Trim(context.Background(), name, cut)
	}
	if err == nil {
		var forgotten uint64
		forgotten, err = e.tidyAudit(name)
		bytes += forgotten
	}
	if err != nil {
		e.janitorError("retention of "+name, err)
		return 0
	}
	return bytes
}

func (e *Engine) janitorError(what string, err error) {
	if !errors.Is(err, engine.ErrClosed) {
		e.log.Error("janitor", "at", what, "err", err)
	}
}

// Tenants returns the names of all tenants of the store, the hub's own among them.
func (e *Engine) Tenants() (names []string, err error) {
	leave, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{keyMeta}, UpperBound: []byte{keyMeta + 1}})
	if err != nil {
		return nil, storeError(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		names = append(names, string(it.Key()[1:]))
	}
	return names, storeError(it.Close())
}

// cut returns the newest offset that the tenant's bounds no longer allow, 0 for none, and how many bytes lie up to
// it. Time and total never decrease along a log, so a few dozen records tell.
func (e *Engine) cut(name string) (offset, bytes uint64, err error) {
	t, err := e.load(name)
	if err != nil {
		return 0, 0, err
	}
	leave, err := e.enter()
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	b := t.durable.Load()
	if b == nil || b.First > b.Head {
		return 0, 0, nil
	}
	keep := e.opts.retention(name)
	cut := b.First - 1
	if n := b.Head - cut; keep.Events > 0 && n > keep.Events {
		cut = b.Head - keep.Events
	}
	newest, _, err := e.stamp(name, b.Head)
	if err != nil {
		return 0, 0, err
	}
	oldest, size, err := e.stamp(name, b.First)
	if err != nil {
		return 0, 0, err
	}
	before := oldest.Total - size
	if keep.Bytes > 0 && newest.Total-before > keep.Bytes {
		first, err := e.bisect(name, cut+1, b.Head, func(s engine.Stamp) bool { return newest.Total-s.Total <= keep.Bytes })
		if err != nil {
			return 0, 0, err
		}
		cut = max(cut, first)
	}
	if limit := e.opts.now().Add(-keep.Age); keep.Age > 0 && oldest.Time.Before(limit) {
		first, err := e.bisect(name, cut+1, b.Head+1, func(s engine.Stamp) bool { return !s.Time.Before(limit) })
		if err != nil {
			return 0, 0, err
		}
		cut = max(cut, first-1)
	}
	if cut < b.First {
		return 0, 0, nil
	}
	last, _, err := e.stamp(name, cut)
	return cut, last.Total - before, err
}

// bisect returns the smallest offset of low to high whose stamp satisfies reached, high without asking. From the
// first that satisfies it on, all do.
func (e *Engine) bisect(name string, low, high uint64, reached func(engine.Stamp) bool) (uint64, error) {
	for low < high {
		mid := low + (high-low)/2
		s, _, err := e.stamp(name, mid)
		if err != nil {
			return 0, err
		}
		if reached(s) {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low, nil
}

// stamp reads where and when the event at offset stands, and its size. The caller has entered.
func (e *Engine) stamp(name string, offset uint64) (s engine.Stamp, size uint64, err error) {
	value, closer, err := e.db.Get(logKey(name, offset))
	if err != nil {
		return engine.Stamp{}, 0, storeError(fmt.Errorf("event %d: %w", offset, err))
	}
	s, err = engine.ReadStamp(value)
	size = uint64(len(value))
	if cerr := closer.Close(); err == nil {
		err = storeError(cerr)
	}
	return s, size, err
}

// Trim deletes the tenant's events up to and including offset, as engine.Trimmer says.
func (e *Engine) Trim(ctx context.Context, tenant string, offset uint64) error {
	if err := checkTenant(tenant); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	c := &call{tenant: tenant, done: make(chan result, 1), do: func(g *group) error { return g.trim(tenant, offset) }}
	if _, err := e.submit(ctx, c); err != nil {
		return fmt.Errorf("trim %s up to %d: %w", tenant, offset, err)
	}
	e.trims.add(tenant)
	if e.space.full.Load() {
		e.trims.ask()
	}
	return nil
}

// trim puts three things into the batch, however many events go: two range tombstones and the new beginning.
func (g *group) trim(name string, offset uint64) error {
	t, err := g.e.tenants.get(g.e.db, name)
	if err != nil {
		return err
	}
	m := &t.meta
	if offset = min(offset, m.head); offset < m.first {
		return nil
	}
	// Readers learn of it before they can miss an event.
	t.trimmedTo.Store(offset)
	if err := g.batch.DeleteRange(logKey(name, 0), logKey(name, offset+1), nil); err != nil {
		return err
	}
	// The segment of the new beginning keeps its old entries until it is old itself.
	from, to := appendSegmentKey(nil, name, 0), appendSegmentKey(nil, name, (offset+1)>>segmentBits)
	if (offset+1)>>segmentBits > 0 {
		if err := g.batch.DeleteRange(from, to, nil); err != nil {
			return err
		}
	}
	if err := g.trimAcks(t, offset); err != nil {
		return err
	}
	g.e.stats.trims.Add(1)
	g.e.stats.trimmed.Add(offset + 1 - m.first)
	m.first = offset + 1
	g.touch(t)
	return nil
}

// dropReceipts deletes the idempotency keys of all spans that are not looked into any more.
func (e *Engine) dropReceipts() error {
	old := e.bucket(e.opts.now()) - 1
	c := &call{done: make(chan result, 1), do: func(g *group) error {
		if old == g.e.dropped {
			return nil
		}
		g.e.dropped = old
		for _, kind := range []byte{keyReceipt, keyResult} {
			if err := g.batch.DeleteRange(appendBucketKey(nil, kind, 0), appendBucketKey(nil, kind, old), nil); err != nil {
				return err
			}
		}
		return nil
	}}
	_, err := e.submit(context.Background(), c)
	return err
}

// noteGrowth calls the janitor when a tenant has a tenth more events than it may. When the janitor has much to do
// already, the next group calls again.
func (e *Engine) noteGrowth(t *tenant) {
	limit := e.opts.retention(t.name).Events
	if n := t.meta.head + 1 - t.meta.first; limit == 0 || n <= limit+limit/10 {
		return
	}
	select {
	case e.overgrown <- t.name:
	default:
	}
}
