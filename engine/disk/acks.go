package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// maxKnown bounds the receipts that a tenant's acks keep in memory of critical events that are settled. Those of open
// events are kept always: limits.openAcks and limits.devicesPerUser bound them.
const maxKnown = 100_000

// acks is what the committer knows of one tenant's devices and critical events. All of it is durable, or will be with the
// group that is being written.
type acks struct {
	devices map[string]*engine.StoredDevice
	owned   map[string]int              // devices, by user
	waits   map[receiver][]uint64       // open critical events that each target has still to confirm, growing
	kept    []uint64                    // offsets of all critical events that the log retains, growing
	open    map[uint64]*engine.Critical // those that are not settled
	known   map[uint64]*engine.Critical // some that are
	settled int                         // receipts of known
}

// receiver is a target of critical events. One whose device was forgotten stays one: it may come back, and is another when
// its name comes back as another user's.
type receiver struct{ device, user string }

func receiverOf(r *roxy.DeviceReceipt) receiver { return receiver{r.Device, r.User} }

// forget drops what is known of settled events when it is much. What is still asked for is read again.
func (a *acks) forget() {
	if a != nil && a.settled > maxKnown {
		a.known, a.settled = make(map[uint64]*engine.Critical), 0
	}
}

// acksOf returns the tenant's, reading them at first sight.
func (g *group) acksOf(t *tenant) (*acks, error) {
	if t.acks != nil {
		return t.acks, nil
	}
	a := &acks{
		devices: make(map[string]*engine.StoredDevice), owned: make(map[string]int), waits: make(map[receiver][]uint64),
		open: make(map[uint64]*engine.Critical), known: make(map[uint64]*engine.Critical),
	}
	prefix := deviceKey(t.name, "")
	err := g.e.scanKeys(prefix, upper(prefix), func(key, value []byte) error {
		d, err := engine.ReadDevice(string(key[len(prefix):]), value)
		if err == nil {
			a.devices[d.Name] = &d
			a.owned[d.User]++
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("devices of %s: %w", t.name, err)
	}
	err = g.e.scanKeys(offsetKey(keyAck, t.name, 0), upper(append(append([]byte{keyAck}, t.name...), 0)), func(key, value []byte) error {
		c, err := engine.ReadCritical(roxy.Cursor{Epoch: t.meta.epoch, Offset: logOffset(key)}, value)
		if err != nil {
			return err
		}
		a.kept = append(a.kept, c.Offset)
		if c.Settlement == "" {
			a.open[c.Offset] = c
		}
		return nil
	})
	for _, offset := range a.kept {
		if c := a.open[offset]; c != nil && err == nil {
			err = g.e.readReceipts(t.name, c)
			a.wait(c)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("acknowledgements of %s: %w", t.name, err)
	}
	t.acks = a
	return a, nil
}

// scanKeys calls found for each key from one to another. Nothing that the group in hand has written is among them.
func (e *Engine) scanKeys(from, to []byte, found func(key, value []byte) error) (err error) {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	for ok := it.First(); ok; ok = it.Next() {
		if err := found(it.Key(), it.Value()); err != nil {
			return err
		}
	}
	return storeError(it.Error())
}

// readReceipts fills in the receipts of c's targets.
func (e *Engine) readReceipts(tenant string, c *engine.Critical) error {
	prefix := offsetKey(keyHandled, tenant, c.Offset)
	return e.scanKeys(prefix, offsetKey(keyHandled, tenant, c.Offset+1), func(key, value []byte) error {
		t := c.Target(string(key[len(prefix):]))
		if t == nil {
			return fmt.Errorf("%w: a receipt of event %d for a device that it is not for", engine.ErrCorrupt, c.Offset)
		}
		return engine.ReadDeviceReceipt(value, t)
	})
}

// critical returns a critical event of the tenant, nil when there is none at offset. It may be changed by what writes it.
func (g *group) critical(t *tenant, offset uint64) (*engine.Critical, error) {
	a := t.acks
	if c := a.open[offset]; c != nil {
		return c, nil
	}
	if c := a.known[offset]; c != nil {
		return c, nil
	}
	if _, ok := slices.BinarySearch(a.kept, offset); !ok {
		return nil, nil //nolint:nilnil // none is no error
	}
	value, closer, err := g.e.db.Get(offsetKey(keyAck, t.name, offset))
	if err != nil {
		return nil, storeError(fmt.Errorf("acknowledgement of event %d: %w", offset, err))
	}
	c, err := engine.ReadCritical(roxy.Cursor{Epoch: t.meta.epoch, Offset: offset}, value)
	if cerr := closer.Close(); err == nil {
		err = storeError(cerr)
	}
	if err == nil {
		err = g.e.readReceipts(t.name, c)
	}
	if err != nil {
		return nil, err
	}
	a.know(c)
	return c, nil
}

// know keeps a settled event.
func (a *acks) know(c *engine.Critical) {
	a.known[c.Offset] = c
	a.settled += 1 + len(c.Targets)
}

// mayOpen refuses event i of a call of n, its critical-th critical one, when too many are open.
func (g *group) mayOpen(t *tenant, critical, i, n int) error {
	a, err := g.acksOf(t)
	if err != nil || len(a.open)+critical <= g.e.opts.MaxOpenAcks {
		return err
	}
	member := "ack"
	if n > 1 {
		member = fmt.Sprintf("[%d].ack", i)
	}
	return &roxy.Problem{
		Code: roxy.RateLimited, Member: member, RetryAfter: retryAfter,
		Detail: fmt.Sprintf("%d critical events wait for their confirmation, at most %d may (limits.openAcks)", len(a.open), g.e.opts.MaxOpenAcks),
	}
}

// openAck begins the acknowledgement of a critical event that has its place in the log.
func (g *group) openAck(t *tenant, ev *roxy.Event) error {
	a, err := g.acksOf(t)
	if err != nil {
		return err
	}
	var targets []roxy.Device
	oldest := g.now.Add(-g.e.opts.DeviceAge)
	for _, d := range a.devices {
		if d.Seen.After(oldest) && d.Addressed(ev) {
			targets = append(targets, d.Device)
		}
	}
	c := engine.NewCritical(ev, t.meta.epoch, targets, g.now)
	if !g.e.opts.Audit.Publishes { // whose rows are there already
		g.noteAck(t, c, &roxy.AuditRow{Kind: roxy.AuditPublish, User: c.By})
	}
	a.kept = append(a.kept, c.Offset)
	if c.Settlement != "" {
		a.know(c)
		return g.settled(t, c)
	}
	a.open[c.Offset] = c
	a.wait(c)
	return g.writeCritical(t, c)
}

func (g *group) writeCritical(t *tenant, c *engine.Critical) error {
	return g.batch.Set(offsetKey(keyAck, t.name, c.Offset), engine.AppendCritical(nil, c), nil)
}

func (g *group) writeReceipt(t *tenant, c *engine.Critical, r *roxy.DeviceReceipt) error {
	return g.batch.Set(handledKey(t.name, c.Offset, r.Device), engine.AppendDeviceReceipt(nil, r), nil)
}

// settle closes an event that was open until now.
func (g *group) settle(t *tenant, c *engine.Critical) error {
	a := t.acks
	delete(a.open, c.Offset)
	a.know(c)
	for i := range c.Targets {
		a.confirmed(receiverOf(&c.Targets[i]), c.Offset)
	}
	return g.settled(t, c)
}

// settled writes a settlement, and the dead letter of an event that nobody confirmed.
func (g *group) settled(t *tenant, c *engine.Critical) error {
	reason := string(c.Settlement)
	if c.Settlement == roxy.Unacked {
		reason = string(c.Reason)
	}
	g.noteAck(t, c, &roxy.AuditRow{Kind: roxy.AuditSettled, User: c.By, Reason: reason, Attempt: c.Attempt})
	if c.Settlement == roxy.Unacked {
		letter := c.DeadLetter()
		g.touch(t)
		g.put(t, &letter, engine.AppendRecord(make([]byte, 0, recordBytes(&letter)), &letter))
	}
	return g.writeCritical(t, c)
}

// noteAck notes a row about a critical event.
func (g *group) noteAck(t *tenant, c *engine.Critical, row *roxy.AuditRow) {
	row.Event, row.Topic, row.Type, row.Correlation = c.Cursor().String(), c.Topic.String(), c.Type, c.Correlation
	g.note(t, row)
}

// wait puts an open event, newer than those before, on the lists of those that have to confirm it.
func (a *acks) wait(c *engine.Critical) {
	for i := range c.Targets {
		if c.Targets[i].Confirmed.IsZero() {
			to := receiverOf(&c.Targets[i])
			a.waits[to] = append(a.waits[to], c.Offset)
		}
	}
}

// confirmed takes an event off the list of those that a target has to confirm.
func (a *acks) confirmed(by receiver, offset uint64) {
	list := a.waits[by]
	i, ok := slices.BinarySearch(list, offset)
	switch {
	case !ok:
	case len(list) == 1:
		delete(a.waits, by)
	default:
		a.waits[by] = slices.Delete(list, i, i+1)
	}
}

// trimAcks deletes what belongs to events up to offset. Those that are open are given up: nobody can be given them.
func (g *group) trimAcks(t *tenant, offset uint64) error {
	a, err := g.acksOf(t)
	if err != nil {
		return err
	}
	gone, _ := slices.BinarySearch(a.kept, offset+1)
	if gone == 0 {
		return nil
	}
	for _, o := range a.kept[:gone] {
		if c := a.open[o]; c != nil {
			c.Forgotten(g.now)
			if err := g.settle(t, c); err != nil {
				return err
			}
		}
		if c := a.known[o]; c != nil {
			a.settled -= 1 + len(c.Targets)
			delete(a.known, o)
		}
	}
	a.kept = slices.Delete(a.kept, 0, gone)
	for _, kind := range []byte{keyAck, keyHandled} {
		if err := g.batch.DeleteRange(offsetKey(kind, t.name, 0), offsetKey(kind, t.name, offset+1), nil); err != nil {
			return err
		}
	}
	return nil
}

// perform runs do on the committer, on a tenant's acks, and returns when what it wrote is durable.
func (e *Engine) perform(ctx context.Context, tenant, what string, bytes int, do func(g *group, t *tenant, a *acks) error) error {
	err := checkTenant(tenant)
	if err == nil {
		c := &call{tenant: tenant, done: make(chan result, 1), bytes: bytes, grows: bytes > 0}
		c.do = func(g *group) error {
			t, err := g.open(tenant)
			if err != nil {
				return err
			}
			a, err := g.acksOf(t)
			if err != nil {
				return err
			}
			c.then = a.forget // not before the group is written: what it changed would be read as it was
			return do(g, t, a)
		}
		_, err = e.submit(ctx, c)
	}
	if err == nil {
		return nil
	}
	e.stats.refused(err)
	if problem, ok := errors.AsType[*roxy.Problem](err); ok {
		return problem
	}
	return fmt.Errorf("%s of %s: %w", what, tenant, err)
}

// Advance goes to the next delivery of critical events, as engine.Acks says.
func (e *Engine) Advance(ctx context.Context, name string, due []engine.OpenAck) ([]engine.Critical, error) {
	var advanced []engine.Critical
	err := e.perform(ctx, name, "advance critical events", mutationOverhead*len(due), func(g *group, t *tenant, a *acks) error {
		for _, o := range due {
			c := a.open[o.Offset]
			if c == nil || c.Attempt != o.Attempt {
				continue
			}
			c.Next(g.now)
			write := g.writeCritical
			if c.Settlement != "" {
				write = g.settle
			} else {
				g.noteAck(t, c, &roxy.AuditRow{Kind: roxy.AuditRedelivery, Attempt: c.Attempt})
			}
			if err := write(t, c); err != nil {
				return err
			}
			advanced = append(advanced, copyOf(c))
		}
		return nil
	})
	if err != nil {
		return nil, err // the committer may still be at it
	}
	return advanced, nil
}

// Critical returns a critical event's acknowledgement, as engine.Acks says.
func (e *Engine) Critical(ctx context.Context, name string, offset uint64) (engine.Critical, error) {
	var found engine.Critical
	err := e.perform(ctx, name, "receipts", 0, func(g *group, t *tenant, _ *acks) error {
		c, err := g.critical(t, offset)
		if err != nil {
			return err
		}
		if c == nil {
			return &roxy.Problem{Code: roxy.NotFound, Member: "cursor", Detail: "no critical event is retained at this cursor"}
		}
		found = copyOf(c)
		return nil
	})
	if err != nil {
		return engine.Critical{}, err
	}
	return found, nil
}

// copyOf returns a copy that shares nothing that changes.
func copyOf(c *engine.Critical) engine.Critical {
	out := *c
	out.Targets = slices.Clone(c.Targets)
	return out
}

// Open returns what is not settled, as engine.Acks says.
func (e *Engine) Open(ctx context.Context) (map[string][]engine.OpenAck, error) {
	names, err := e.tenantsWith(keyAck)
	if err != nil {
		return nil, fmt.Errorf("open critical events: %w", err)
	}
	open := make(map[string][]engine.OpenAck)
	var failed error
	for _, name := range names {
		var list []engine.OpenAck
		err := e.perform(ctx, name, "open critical events", 0, func(_ *group, _ *tenant, a *acks) error {
			for _, offset := range a.kept {
				if c := a.open[offset]; c != nil {
					list = append(list, openAckOf(c))
				}
			}
			return nil
		})
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case len(list) > 0:
			open[name] = list
		}
	}
	return open, failed
}

func openAckOf(c *engine.Critical) engine.OpenAck {
	return engine.OpenAck{Offset: c.Offset, Attempt: c.Attempt, Due: c.Due}
}

// tenantsWith returns the tenants that have keys of a kind in which a zero byte follows the tenant.
func (e *Engine) tenantsWith(kind byte) (names []string, err error) {
	leave, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return nil, storeError(err)
	}
	for ok := it.First(); ok; {
		name := it.Key()[1 : 1+slices.Index(it.Key()[1:], 0)]
		names = append(names, string(name))
		ok = it.SeekGE(append(append([]byte{kind}, name...), 1))
	}
	return names, storeError(it.Close())
}
