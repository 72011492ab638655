package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// restoring is how far the restoration of a tenant is, beside its head. The committer replaces it and never changes it.
type restoring struct {
	of       engine.Bounds
	entities uint64
	topic    roxy.Topic // of the last entity
}

// restoring's record: version 1 · first 8 · head 8 · entities 8 · topic · CRC-32C of all before, 4. Its epoch is the log's.
const (
	restoringVersion = 1
	restoringFixed   = 1 + 3*8 + 4
)

func (r *restoring) encode() []byte {
	b := []byte{restoringVersion}
	for _, n := range [...]uint64{r.of.First, r.of.Head, r.entities} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	b = append(b, r.topic.String()...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// loadRestoring returns nil when no restoration runs.
func loadRestoring(db *pebble.DB, name, epoch string) (*restoring, error) {
	b, closer, err := db.Get(restoreKey(name))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil //nolint:nilnil // none is no error
	}
	if err != nil {
		return nil, storeError(err)
	}
	r, err := decodeRestoring(b, epoch)
	if cerr := closer.Close(); err == nil {
		err = storeError(cerr)
	}
	return r, err
}

func decodeRestoring(b []byte, epoch string) (*restoring, error) {
	if len(b) < restoringFixed || b[0] != restoringVersion {
		return nil, fmt.Errorf("%w: a restoration of %d bytes", engine.ErrCorrupt, len(b))
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[end:]) {
		return nil, fmt.Errorf("%w: a restoration has a wrong checksum", engine.ErrCorrupt)
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[1+8*i:]) }
	r := &restoring{of: engine.Bounds{Epoch: epoch, First: n(0), Head: n(1)}, entities: n(2)}
	if topic := b[restoringFixed-4 : end]; len(topic) > 0 {
		var err error
		if r.topic, err = roxy.ParseTopic(string(topic)); err != nil {
			return nil, fmt.Errorf("%w: a restoration: %w", engine.ErrCorrupt, err)
		}
	}
	return r, nil
}

// open returns the tenant, unless it is being restored.
func (g *group) open(name string) (*tenant, error) {
	t, err := g.e.tenants.get(g.e.db, name)
	if err == nil && t.restore != nil {
		err = restoringProblem(name)
	}
	return t, err
}

func restoringProblem(tenant string) error {
	return &roxy.Problem{
		Code: roxy.NotReady, RetryAfter: 2 * time.Second,
		Detail: fmt.Sprintf("an import into the tenant %q has begun and has not ended: go on with it (roxy import), or give it up (roxy import --abandon)", tenant),
	}
}

func invalidImport(format string, args ...any) error {
	return &roxy.Problem{Code: roxy.InvalidImport, Detail: fmt.Sprintf(format, args...)}
}

func notEmpty(format string, args ...any) error {
	return &roxy.Problem{Code: roxy.NotEmpty, Detail: fmt.Sprintf(format, args...)}
}

// Restore takes in one part, as engine.Restorer says.
func (e *Engine) Restore(ctx context.Context, tenant string, part engine.Restoration) (engine.Restored, error) {
	r := &restoration{part: part, states: make([][]byte, len(part.States))}
	err := checkTenant(tenant)
	if err == nil {
		err = part.Check()
	}
	if err == nil {
		c := newCall(tenant, part.Events)
		for i := range part.States {
			r.states[i] = engine.AppendState(nil, &part.States[i])
			c.bytes += len(r.states[i])
		}
		r.call, c.grows, c.do, c.then = c, true, r.run, r.done
		_, err = e.submit(ctx, c)
	}
	if err == nil {
		return r.restored, nil
	}
	e.stats.refused(err)
	if problem, ok := errors.AsType[*roxy.Problem](err); ok {
		return engine.Restored{}, problem
	}
	return engine.Restored{}, fmt.Errorf("restore %d events and %d entities of %s: %w", len(part.Events), len(part.States), tenant, err)
}

// restoration is one Restore on the committer.
type restoration struct {
	part     engine.Restoration
	states   [][]byte // records
	call     *call
	tenant   *tenant
	restored engine.Restored
}

// run holds the part against what is there, and writes it when all of it fits.
func (r *restoration) run(g *group) error {
	t, err := g.e.tenants.get(g.e.db, r.call.tenant)
	if err != nil {
		return err
	}
	r.tenant = t
	of := r.part.Of
	now, m := t.restore, t.meta
	switch {
	case now == nil && m.head != 0:
		return notEmpty("the tenant %q holds a log up to %d of the epoch %s: an import wants a tenant that was never written to", t.name, m.head, m.epoch)
	case now == nil:
		now, m = &restoring{of: of}, meta{epoch: of.Epoch, first: of.First, head: of.First - 1}
	case now.of != of:
		return notEmpty("another import into the tenant %q is under way, of the events %d to %d of the epoch %s, not %d to %d of %s: go on with that one, or give it up",
			t.name, now.of.First, now.of.Head, now.of.Epoch, of.First, of.Head, of.Epoch)
	}
	next, fresh, err := r.fits(now, m)
	if err != nil {
		return err
	}
	if t.restore == nil {
		t.busy.Store(true)
		t.trimmedTo.Store(m.first - 1)
		t.meta = m
	}
	g.touch(t)
	if err := r.write(g, fresh); err != nil {
		return err
	}
	t.restore = next
	if r.part.End {
		t.restore = nil
		return g.batch.Delete(restoreKey(t.name), nil)
	}
	r.restored = restoredOf(t)
	return g.batch.Set(restoreKey(t.name), next.encode(), nil)
}

// done runs when the part is durable.
func (r *restoration) done() {
	if r.part.End {
		r.restored = restoredOf(r.tenant)
		r.tenant.busy.Store(false)
	}
}

func restoredOf(t *tenant) engine.Restored {
	out := engine.Restored{Epoch: t.meta.epoch, Head: t.meta.head}
	if r := t.restore; r != nil {
		out.Running, out.Of, out.Topic, out.Entities = true, r.of, r.topic, r.entities
	}
	return out
}

// fits returns how far the restoration is with the part, and how many of its events and entities are there already.
func (r *restoration) fits(now *restoring, m meta) (next *restoring, known [2]int, err error) {
	p := &r.part
	for known[0] < len(p.Events) && p.Events[known[0]].Offset <= m.head {
		known[0]++
	}
	if events := p.Events[known[0]:]; len(events) > 0 {
		if first := &events[0]; first.Offset != m.head+1 {
			return nil, known, invalidImport("event %d comes where %d is wanted", first.Offset, m.head+1)
		} else if at := time.Unix(0, m.last); m.last != 0 && first.Time.Before(at) {
			return nil, known, invalidImport("event %d is of %s, before the one before it", first.Offset, first.Time)
		}
	}
	head := m.head + uint64(len(p.Events)-known[0]) //nolint:gosec // never negative
	if (len(p.States) > 0 || p.End) && head != now.of.Head {
		return nil, known, invalidImport("the entities or the end come behind event %d, and the log goes on up to %d", head, now.of.Head)
	}
	next = &restoring{of: now.of, entities: now.entities, topic: now.topic}
	for known[1] < len(p.States) && strings.Compare(p.States[known[1]].Topic.String(), now.topic.String()) <= 0 {
		known[1]++
	}
	if states := p.States[known[1]:]; len(states) > 0 {
		next.entities += uint64(len(states))
		next.topic = states[len(states)-1].Topic
	}
	if p.End && next.entities != p.Entities {
		return nil, known, invalidImport("the end tells of %d entities, and %d came", p.Entities, next.entities)
	}
	return next, known, nil
}

// write puts what is not there yet into the batch.
func (r *restoration) write(g *group, known [2]int) error {
	t := r.tenant
	for i := known[0]; i < len(r.call.events); i++ {
		ev := &r.call.events[i]
		g.putAt(t, ev, r.call.records[i], ev.Time.UnixNano())
		if g.now.Sub(ev.Time) >= g.e.opts.IdempotencyTTL {
			continue
		}
		since := ev.Time
		if since.After(g.now) { // of a machine whose clock was ahead
			since = g.now
		}
		if ev.ID != "" {
			g.scope = appendScope(g.scope[:0], t.name, ev.By, ev.ID)
			known := receipt{offset: ev.Offset, time: since, print: r.call.prints[i]}
			g.keys[string(g.scope)] = known
			value := make([]byte, receiptBytes)
			known.put(value)
			if err := g.batch.Set(appendReceiptKey(nil, g.e.bucket(since), g.scope), value, nil); err != nil {
				return err
			}
		}
		if result := engine.RestoredResult(t.meta.epoch, ev); result != nil {
			result.Kept = since
			g.scope = appendScope(g.scope[:0], t.name, ev.By, result.ID)
			g.results[string(g.scope)] = result
			if err := g.batch.Set(resultKey(g.e.bucket(since), g.scope), engine.AppendResult(nil, result), nil); err != nil {
				return err
			}
		}
	}
	for i := known[1]; i < len(r.states); i++ {
		key := entityKey(t.name, r.part.States[i].Topic)
		if err := g.batch.Set(key, r.states[i], nil); err != nil {
			return err
		}
		state, err := engine.ReadState(r.part.States[i].Topic, r.states[i]) // of its own memory
		if err != nil {
			return err
		}
		g.states[string(key)] = &state
	}
	return nil
}

// Restored tells how far the tenant's restoration is, as engine.Restorer says.
func (e *Engine) Restored(ctx context.Context, tenant string) (engine.Restored, error) {
	if err := checkTenant(tenant); err != nil {
		return engine.Restored{}, fmt.Errorf("restoration: %w", err)
	}
	var out engine.Restored
	c := &call{tenant: tenant, done: make(chan result, 1)}
	c.do = func(g *group) error {
		t, err := g.e.tenants.get(g.e.db, tenant)
		if err != nil {
			return err
		}
		out = restoredOf(t)
		return nil
	}
	if _, err := e.submit(ctx, c); err != nil {
		return engine.Restored{}, fmt.Errorf("restoration of %s: %w", tenant, err)
	}
	return out, nil
}

// Abandon gives a restoration up, as engine.Restorer says. Deleting is not refused on a full disk.
func (e *Engine) Abandon(ctx context.Context, tenant string) error {
	if err := checkTenant(tenant); err != nil {
		return fmt.Errorf("abandon a restoration: %w", err)
	}
	var t *tenantLife
	c := &call{tenant: tenant, done: make(chan result, 1), then: func() { t.over() }}
	c.do = func(g *group) (err error) {
		t, err = g.abandon(tenant)
		return err
	}
	if _, err := e.submit(ctx, c); err != nil {
		if problem, ok := errors.AsType[*roxy.Problem](err); ok {
			return problem
		}
		return fmt.Errorf("abandon the restoration of %s: %w", tenant, err)
	}
	return nil
}

// tenantLife is a life of a tenant that ends with a group.
type tenantLife struct{ *tenant }

// over opens the tenant to its next life.
func (t *tenantLife) over() {
	t.trimmedTo.Store(0)
	t.busy.Store(false)
}

func (g *group) abandon(name string) (*tenantLife, error) {
	t, err := g.e.tenants.get(g.e.db, name)
	if err != nil {
		return nil, err
	}
	if t.restore == nil {
		return nil, notEmpty("no import into the tenant %q is under way: only a part of a tenant can be given up", name)
	}
	t.trimmedTo.Store(t.meta.head) // readers learn of it before they can miss an event
	scope := append([]byte(name), 0)
	behind := append([]byte(name), 1)
	ranges := [][2][]byte{
		{logKey(name, 0), append(append([]byte{keyLog}, name...), 1)},
		{appendSegmentKey(nil, name, 0), append(append([]byte{keyTopic}, name...), 1)},
		{entityPrefix(name), upper(entityPrefix(name))},
	}
	for _, kind := range []byte{keyReceipt, keyResult} {
		for _, bucket := range []uint32{g.e.bucket(g.now) - 1, g.e.bucket(g.now)} { // the others are not looked into
			ranges = append(ranges, [2][]byte{
				append(appendBucketKey(nil, kind, bucket), scope...), append(appendBucketKey(nil, kind, bucket), behind...),
			})
		}
	}
	for _, r := range ranges {
		if err := g.batch.DeleteRange(r[0], r[1], nil); err != nil {
			return nil, err
		}
	}
	if err := g.batch.Delete(restoreKey(name), nil); err != nil {
		return nil, err
	}
	deletePrefix(g.keys, string(scope))
	deletePrefix(g.results, string(scope))
	deletePrefix(g.states, string(entityPrefix(name)))
	deletePrefix(g.e.states.byKey, string(entityPrefix(name)))
	t.restore, t.meta = nil, meta{epoch: newEpoch(), first: 1}
	g.touch(t)
	t.run = -1 // what this group appended before was of the life that ends
	return &tenantLife{t}, nil
}

func deletePrefix[V any](m map[string]V, prefix string) {
	for key := range m {
		if strings.HasPrefix(key, prefix) {
			delete(m, key)
		}
	}
}
