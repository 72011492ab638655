package disk

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy/engine"
)

// tidyAudit holds one tenant's trail against its bounds, block by block, and returns how many bytes it forgot.
func (e *Engine) tidyAudit(name string) (uint64, error) {
	first, bytes, err := e.cutAudit(name)
	if first == 0 || err != nil {
		return 0, err
	}
	return bytes, e.forgetRows(context.Background(), name, first)
}

// cutAudit returns the first row that the tenant's bounds still allow, which begins a block or is one behind the head, and
// how many bytes lie before it; 0 when nothing has to go.
func (e *Engine) cutAudit(name string) (first, bytes uint64, err error) {
	keep := e.opts.Audit
	t, err := e.load(name)
	if err != nil {
		return 0, 0, err
	}
	bounds := t.trail.durable.Load()
	if bounds == nil || bounds.First > bounds.Head {
		return 0, 0, nil
	}
	leave, err := e.enter()
	if err != nil {
		return 0, 0, err
	}
	defer leave()
	it, err := e.db.NewIter(auditRange(name))
	if err != nil {
		return 0, 0, storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	oldest, err := auditBlockOf(it, name, bounds.First)
	if err != nil {
		return 0, 0, err
	}
	before := oldest.total - oldest.size()
	newest, err := auditBlockOf(it, name, bounds.Head)
	if err != nil {
		return 0, 0, err
	}
	cut := bounds.First
	if keep.Bytes > 0 && newest.total-before > keep.Bytes { // the newest block stays, however large
		at, err := bisectAudit(it, name, cut, bounds.Head, func(b *auditBlock) bool { return newest.total-b.total+b.size() <= keep.Bytes })
		if err != nil {
			return 0, 0, err
		}
		cut = min(at, newest.first)
	}
	if limit := e.opts.now().Add(-keep.Age).UnixNano(); keep.Age > 0 && oldest.time < limit {
		at, err := auditSince(it, name, cut, bounds.Head, limit)
		if err != nil {
			return 0, 0, err
		}
		cut = max(cut, at)
	}
	if cut == bounds.First {
		return 0, 0, nil
	}
	last, err := auditBlockOf(it, name, cut-1)
	return cut, last.total - before, err
}

// auditBlockOf decodes the block that holds the row seq, valid until it moves.
func auditBlockOf(it *pebble.Iterator, name string, seq uint64) (auditBlock, error) {
	if !seekAudit(it, name, seq) {
		return auditBlock{}, errors.Join(storeError(it.Error()), corruptAudit(seq, "missing"))
	}
	b, err := auditAt(it)
	if err == nil && (seq < b.first || b.last() < seq) {
		err = corruptAudit(seq, "missing")
	}
	return b, err
}

// size is what the block takes of the bound on bytes.
func (b *auditBlock) size() uint64 { return uint64(auditFixed + len(b.rows)) }

// forgetRows deletes the tenant's rows before first, which begins a block or is one behind the head.
func (e *Engine) forgetRows(ctx context.Context, tenant string, first uint64) error {
	c := &call{tenant: tenant, done: make(chan result, 1), do: func(g *group) error { return g.forgetRows(tenant, first) }}
	if _, err := e.submit(ctx, c); err != nil {
		return fmt.Errorf("forget the audit of %s before %d: %w", tenant, first, err)
	}
	e.trims.add(tenant)
	if e.space.full.Load() {
		e.trims.ask()
	}
	return nil
}

// forgetRows puts a range tombstone into the batch. The hash before first stays: in the block there, or in one without rows
// that the next one takes the place of.
func (g *group) forgetRows(name string, first uint64) error {
	t, err := g.e.tenants.get(g.e.db, name)
	if err != nil {
		return err
	}
	a := &t.trail
	if first <= a.bounds.First || first > a.bounds.Head+1 || !g.notes(t) {
		return nil
	}
	before := a.bounds.Hash
	if first <= a.bounds.Head {
		value, closer, err := g.e.db.Get(auditKey(name, first))
		if errors.Is(err, pebble.ErrNotFound) {
			return corruptAudit(first, "missing")
		}
		if err != nil {
			return storeError(err)
		}
		b, err := decodeAudit(first, value)
		before = b.prev
		if cerr := closer.Close(); err == nil {
			err = storeError(cerr)
		}
		if err != nil {
			return err
		}
	} else {
		a.total += uint64(auditFixed)
		b := auditBlock{first: first, time: a.time, total: a.total, prev: before}
		value := make([]byte, auditFixed)
		b.put(value)
		if err := g.batch.Set(auditKey(name, first), value, nil); err != nil {
			return err
		}
	}
	a.forgotten.Store(first) // readers learn of it before they can miss a row
	if err := g.batch.DeleteRange(auditKey(name, 0), auditKey(name, first), nil); err != nil {
		return err
	}
	g.e.stats.auditForgotten.Add(first - a.bounds.First)
	a.bounds.First, a.bounds.Before = first, before
	return nil
}

var _ engine.Audit = (*Engine)(nil)
