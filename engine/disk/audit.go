package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Audit says what each tenant's trail holds. Zero means no bound.
type Audit struct {
	Age       time.Duration
	Bytes     uint64 // of rows as they are stored, before compression
	Publishes bool   // whether each publish and each mutation has a row
}

// trail is one tenant's audit. Everybody reads durable; the rest belongs to the committer.
type trail struct {
	durable   atomic.Pointer[engine.AuditBounds]
	forgotten atomic.Uint64 // the first row that retention leaves, or is just about to

	bounds  engine.AuditBounds // durable, or with the group now being written
	time    int64              // of the newest row, Unix nanoseconds
	total   uint64             // bytes of all blocks ever
	pending []byte             // rows of this group, as a block has them
	count   int                // of them
	noted   bool               // the tenant is among the group's noted
}

func auditKey(tenant string, first uint64) []byte { return appendAuditKey(nil, tenant, first) }

func appendAuditKey(dst []byte, tenant string, first uint64) []byte {
	dst = append(dst, keyAudit)
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	return binary.BigEndian.AppendUint64(dst, first)
}

// auditRange bounds an iterator to one tenant's trail.
func auditRange(name string) *pebble.IterOptions {
	upper := append([]byte{keyAudit}, name...)
	return &pebble.IterOptions{LowerBound: auditKey(name, 0), UpperBound: append(upper, 1)}
}

// loadAudit reads the ends of a tenant's trail.
func loadAudit(db *pebble.DB, name string, a *trail) (err error) {
	a.bounds = engine.AuditBounds{First: 1, Before: roxy.AuditGenesis(name), Hash: roxy.AuditGenesis(name)}
	if engine.SystemTenant(name) {
		return nil
	}
	it, err := db.NewIter(auditRange(name))
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	if it.First() {
		oldest, err := auditAt(it)
		if err != nil {
			return err
		}
		a.bounds.First, a.bounds.Before = oldest.first, oldest.prev
		if !it.Last() {
			return storeError(it.Error())
		}
		newest, err := auditAt(it)
		if err != nil {
			return err
		}
		a.bounds.Head, a.bounds.Hash = newest.last(), new(auditSpeller).end(&newest)
		a.time, a.total = newest.time, newest.total
	}
	a.durable.Store(new(a.bounds))
	a.forgotten.Store(a.bounds.First)
	return storeError(it.Error())
}

// auditAt decodes the block under it, which stays valid until it moves.
func auditAt(it *pebble.Iterator) (auditBlock, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return auditBlock{}, storeError(err)
	}
	return decodeAudit(logOffset(it.Key()), value)
}

// note adds a row to the group, to become durable with it and to be seen then. t is loaded; Seq and Time are set here. What
// cannot be committed after all is not to be noted before.
func (g *group) note(t *tenant, row *roxy.AuditRow) {
	if !g.notes(t) {
		return
	}
	a := &t.trail
	start := len(a.pending)
	a.pending = append(a.pending, 0, 0, 0, 0)
	a.pending = row.AppendRest(roxy.AppendAuditEvent(a.pending, row.Event))
	a.finishRow(start)
}

// noteEvent is note of a row about the tenant's event at offset, whose rest its caller has spelled.
func (g *group) noteEvent(t *tenant, offset uint64, rest []byte) {
	if !g.notes(t) {
		return
	}
	a := &t.trail
	start := len(a.pending)
	a.pending = append(a.pending, 0, 0, 0, 0)
	a.pending = append(a.pending, `,"event":"`...)
	a.pending = roxy.Cursor{Epoch: t.meta.epoch, Offset: offset}.Append(a.pending)
	a.pending = append(a.pending, '"')
	a.pending = append(a.pending, rest...)
	a.finishRow(start)
}

// notes reports whether t has a trail, and puts it among those of the group.
func (g *group) notes(t *tenant) bool {
	if engine.SystemTenant(t.name) {
		return false
	}
	if !t.trail.noted {
		t.trail.noted = true
		g.noted = append(g.noted, t)
		if t.meta.epoch == "" && t.restore == nil {
			t.meta.epoch = newEpoch() // a tenant of the store from now on, whom the janitor comes to
			g.touch(t)
		}
	}
	return true
}

// finishRow sets the length of the row that begins at start.
func (a *trail) finishRow(start int) {
	binary.BigEndian.PutUint32(a.pending[start:], uint32(len(a.pending)-start-4)) //nolint:gosec // of a row in memory
	a.count++
}

// writeNoted puts the rows of the group into the batch, one block for each tenant, and moves their heads.
func (g *group) writeNoted() {
	spell := &g.e.spell
	for _, t := range g.noted {
		a := &t.trail
		if a.count == 0 {
			continue
		}
		a.time = max(g.now.UnixNano(), a.time)
		size := auditFixed + len(a.pending)
		a.total += uint64(size)
		b := auditBlock{first: a.bounds.Head + 1, time: a.time, total: a.total, prev: a.bounds.Hash, count: a.count, rows: a.pending}
		a.bounds.Hash, a.bounds.Head = spell.end(&b), b.last()
		op := g.batch.SetDeferred(len(t.name)+10, size)
		appendAuditKey(op.Key[:0], t.name, b.first)
		b.put(op.Value)
		_ = op.Finish()                        // it fails for indexed batches only
		g.e.stats.audited.Add(uint64(a.count)) //nolint:gosec // not negative
		g.e.stats.auditBytes.Add(uint64(size))
	}
}

// showNoted shows the rows of the group, which are durable.
func (g *group) showNoted() {
	for _, t := range g.noted {
		t.trail.durable.Store(new(t.trail.bounds))
	}
}

// maxPending is what a trail keeps of memory from one group to the next.
const maxPending = 64 << 10

// dropNoted readies the trails for the next group.
func (g *group) dropNoted() {
	for _, t := range g.noted {
		a := &t.trail
		a.pending, a.count, a.noted = a.pending[:0], 0, false
		if cap(a.pending) > maxPending {
			a.pending = nil
		}
	}
}

// Note appends rows to the tenant's trail, as engine.Audit says.
func (e *Engine) Note(ctx context.Context, tenant string, rows []roxy.AuditRow) error {
	if err := checkTenant(tenant); err != nil {
		return fmt.Errorf("note %d rows: %w", len(rows), err)
	}
	if engine.SystemTenant(tenant) || len(rows) == 0 {
		return nil
	}
	var of trail // for its spelling only
	for i := range rows {
		start := len(of.pending)
		of.pending = append(of.pending, 0, 0, 0, 0)
		of.pending = rows[i].AppendRest(roxy.AppendAuditEvent(of.pending, rows[i].Event))
		of.finishRow(start)
	}
	c := &call{tenant: tenant, done: make(chan result, 1), bytes: len(of.pending), grows: true}
	c.do = func(g *group) error {
		t, err := g.e.tenants.get(g.e.db, tenant) // an import does not keep rows out
		if err == nil && g.notes(t) {
			t.trail.pending = append(t.trail.pending, of.pending...)
			t.trail.count += of.count
		}
		return err
	}
	if _, err := e.submit(ctx, c); err != nil {
		e.stats.refused(err)
		if problem, ok := errors.AsType[*roxy.Problem](err); ok {
			return problem
		}
		return fmt.Errorf("note %d rows of %s: %w", len(rows), tenant, err)
	}
	return nil
}

// AuditBounds tells what the tenant's trail holds, as engine.Audit says.
func (e *Engine) AuditBounds(_ context.Context, tenant string) (engine.AuditBounds, error) {
	t, err := e.load(tenant)
	if err != nil {
		return engine.AuditBounds{}, fmt.Errorf("audit of %s: %w", tenant, err)
	}
	if b := t.trail.durable.Load(); b != nil {
		return *b, nil
	}
	return t.trail.bounds, nil // of a system tenant: it never changes
}

// spellRows spells the rows of a publish, each without what the committer adds. Critical events have theirs always.
func (e *Engine) spellRows(c *call) {
	noted := func(ev *roxy.Event) bool { return e.opts.Audit.Publishes || ev.Ack != nil }
	size := 0
	for i := range c.events {
		if ev := &c.events[i]; noted(ev) {
			size += auditOverhead + len(ev.By) + len(ev.Topic.String()) + len(ev.Type) + len(ev.Correlation)
		}
	}
	if size == 0 || engine.SystemTenant(c.tenant) {
		return
	}
	c.audits = make([][]byte, len(c.events))
	buf := make([]byte, 0, size) // what it must escape makes it grow
	for i := range c.events {
		ev := &c.events[i]
		if !noted(ev) {
			continue
		}
		start := len(buf)
		row := roxy.AuditRow{Kind: roxy.AuditPublish, User: ev.By, Topic: ev.Topic.String(), Type: ev.Type, Correlation: ev.Correlation}
		buf = row.AppendRest(buf)
		c.audits[i] = buf[start:len(buf):len(buf)]
	}
	c.bytes += len(buf) + auditOverhead*len(c.events)
}

// auditOverhead is a little more than the row of an event takes beside its names: in a caller's memory, and then in
// the store with its stamp.
const auditOverhead = 96
