package disk

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Bounds of a group: what one sync makes durable. A single call may be larger than maxGroupBytes.
const (
	maxGroupCalls = 4096
	maxGroupBytes = 4 << 20
)

// eventOverhead is what an event costs in memory beside its record; the bound on tails counts it.
const eventOverhead = 320

// commitLoop is the committer. It ends when the engine closes and every call it took is answered.
func (e *Engine) commitLoop() {
	defer close(e.stopped)
	var calls []*call
	for {
		calls = calls[:0]
		select {
		case <-e.closing:
			return
		case c := <-e.queue:
			calls = append(calls, c)
		}
		if !e.tails.waitForRoom(e.closing) {
			return
		}
		bytes := calls[0].bytes
	collect:
		for len(calls) < maxGroupCalls && bytes < maxGroupBytes {
			select {
			case c := <-e.queue:
				calls = append(calls, c)
				bytes += c.bytes
			default:
				break collect
			}
		}
		e.commitGroup(calls, bytes)
		clear(calls)
	}
}

// commitGroup writes calls as one batch and answers them.
func (e *Engine) commitGroup(calls []*call, bytes int) {
	full := e.space.check(uint64(bytes)) //nolint:gosec // a length
	if full != nil {
		e.trims.ask() // what was trimmed before the disk was full takes space too
	}
	g := newGroup(e, e.opts.now())
	defer g.close()
	for _, c := range calls {
		if !c.state.CompareAndSwap(waiting, taken) {
			continue
		}
		err := e.failed()
		switch {
		case err != nil:
		case full != nil && (len(c.events) > 0 || c.grows):
			err = full
		case c.do != nil:
			if err = c.do(g); err == nil {
				g.answer(c, engine.Receipt{})
			}
		default:
			err = g.append(c)
		}
		if err != nil {
			c.done <- result{err: err}
		}
	}
	if len(g.answered) == 0 {
		return
	}
	if err := g.write(); err != nil {
		e.fail(err)
		for _, c := range g.answered {
			c.done <- result{err: e.failed()}
		}
		return
	}
	g.publish()
}

// group is one batch in the making. After publish or a refusal of all, it is of no use.
type group struct {
	e        *Engine
	now      time.Time
	batch    *pebble.Batch
	touched  []*tenant
	noted    []*tenant          // whose trails have rows of this group
	keys     map[string]receipt // idempotency keys of this group, by scope
	answered []*call
	receipts []engine.Receipt // for answered
	runs     []engine.Committed
	events   uint64
	bytes    uint64
	scope    []byte
	seen     *pebble.Iterator          // over what earlier groups keep of keys; nil until one is looked for
	results  map[string]*engine.Result // of this group's mutations, by scope
	states   map[string]*engine.State  // of this group's entities, by key
}

func newGroup(e *Engine, now time.Time) *group {
	return &group{e: e, now: now, batch: e.db.NewBatch(), keys: make(map[string]receipt), results: make(map[string]*engine.Result), states: make(map[string]*engine.State)}
}

// close gives back what the group holds of Pebble. What goes wrong here has been told by what went wrong before.
func (g *group) close() {
	if g.seen != nil {
		_ = g.seen.Close()
	}
	g.dropNoted()
	_ = g.batch.Close()
}

// append gives the call's events their places. On an error nothing of the call is in the group.
func (g *group) append(c *call) error {
	t, err := g.open(c.tenant)
	if err != nil {
		return err
	}
	entries, fresh, err := g.dedupe(c, t)
	if err != nil {
		return err
	}
	if t.meta.epoch == "" {
		t.meta.epoch = newEpoch()
		g.touch(t)
	}
	if fresh > 0 {
		g.touch(t)
		if err := g.place(c, t, entries); err != nil {
			return err
		}
	}
	g.answer(c, engine.Receipt{Epoch: t.meta.epoch, Entries: entries})
	return nil
}

// dedupe returns where each event stands or will stand behind t's head, and how many are new.
func (g *group) dedupe(c *call, t *tenant) (entries []engine.Entry, fresh int, err error) {
	entries = make([]engine.Entry, len(c.events))
	head, critical := t.meta.head, 0
	var added []string
	refuse := func(err error) ([]engine.Entry, int, error) {
		for _, key := range added {
			delete(g.keys, key)
		}
		return nil, 0, err
	}
	for i := range c.events {
		ev := &c.events[i]
		if ev.ID != "" {
			g.scope = appendScope(g.scope[:0], c.tenant, ev.By, ev.ID)
			known, found, err := g.lookUp(g.scope)
			if err == nil && found && known.print != c.prints[i] {
				err = keyReused(i, len(c.events))
			}
			if err != nil {
				return refuse(err)
			}
			if found {
				entries[i] = engine.Entry{Offset: known.offset, Duplicate: true}
				continue
			}
			key := string(g.scope)
			g.keys[key] = receipt{offset: head + uint64(fresh) + 1, time: g.now, print: c.prints[i]}
			added = append(added, key)
		}
		if ev.Ack != nil {
			critical++
			if err := g.mayOpen(t, critical, i, len(c.events)); err != nil {
				return refuse(err)
			}
		}
		fresh++
		entries[i].Offset = head + uint64(fresh)
	}
	return entries, fresh, nil
}

// place writes the new events of c into the batch and moves t's head.
func (g *group) place(c *call, t *tenant, entries []engine.Entry) error {
	critical := false
	for i := range c.events {
		if entries[i].Duplicate {
			continue
		}
		ev := &c.events[i]
		g.put(t, ev, c.records[i])
		if c.audits != nil && c.audits[i] != nil {
			g.noteEvent(t, ev.Offset, c.audits[i])
		}
		critical = critical || ev.Ack != nil
		if ev.ID != "" {
			g.scope = appendScope(g.scope[:0], t.name, ev.By, ev.ID)
			op := g.batch.SetDeferred(5+len(g.scope), receiptBytes)
			appendReceiptKey(op.Key[:0], g.e.bucket(g.now), g.scope)
			receipt{offset: ev.Offset, time: g.now, print: c.prints[i]}.put(op.Value)
			_ = op.Finish()
		}
	}
	if !critical {
		return nil
	}
	for i := range c.events { // behind all of them: a dead letter takes the next place in the log
		if ev := &c.events[i]; ev.Ack != nil && !entries[i].Duplicate {
			if err := g.openAck(t, ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// put writes one event, whose record is not yet stamped, behind t's head. t is touched.
func (g *group) put(t *tenant, ev *roxy.Event, record []byte) {
	g.putAt(t, ev, record, max(g.now.UnixNano(), t.meta.last))
}

// putAt is put, at a time that is not before the one of the event before.
func (g *group) putAt(t *tenant, ev *roxy.Event, record []byte, at int64) {
	m := &t.meta
	m.last = at
	m.head++
	m.total += uint64(len(record))
	ev.Offset, ev.Time = m.head, time.Unix(0, m.last).UTC()
	engine.StampRecord(record, engine.Stamp{Offset: m.head, Time: ev.Time, Total: m.total})

	op := g.batch.SetDeferred(len(t.name)+10, len(record))
	appendLogKey(op.Key[:0], t.name, m.head)
	copy(op.Value, record)
	_ = op.Finish() // it fails for indexed batches only
	op = g.batch.SetDeferred(len(t.name)+11+len(ev.Topic.String()), 0)
	appendTopicKey(op.Key[:0], t.name, ev.Topic, m.head)
	_ = op.Finish()
	run := g.run(t)
	run.Events = append(run.Events, *ev)
	g.events++
	g.bytes += uint64(len(record))
}

// run returns the tenant's events of this group. The tenant is touched.
func (g *group) run(t *tenant) *engine.Committed {
	if t.run < 0 {
		t.run = len(g.runs)
		g.runs = append(g.runs, engine.Committed{Tenant: t.name, Epoch: t.meta.epoch})
	}
	return &g.runs[t.run]
}

func (g *group) touch(t *tenant) {
	if !t.touched {
		t.touched, t.run = true, -1
		g.touched = append(g.touched, t)
	}
}

func (g *group) answer(c *call, r engine.Receipt) {
	g.answered = append(g.answered, c)
	g.receipts = append(g.receipts, r)
}

// write makes the batch durable. A panic is how Pebble tells that its log cannot be written.
func (g *group) write() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write the log: %v", r)
		}
	}()
	for _, t := range g.touched {
		t.touched = false
		if err := g.batch.Set(metaKey(t.name), t.meta.encode(), nil); err != nil {
			return err
		}
	}
	g.writeNoted()
	if g.batch.Empty() {
		return nil // duplicates only
	}
	number := g.e.acked.last + 1
	if err := g.batch.Set([]byte{keyGroup}, binary.BigEndian.AppendUint64(nil, number), nil); err != nil {
		return err
	}
	start := time.Now()
	if err := g.e.db.ApplyNoSyncWait(g.batch, pebble.Sync); err != nil {
		return err
	}
	if err := g.batch.SyncWait(); err != nil {
		return err
	}
	g.e.acked.last = number
	if err := g.e.acked.write(number); err != nil {
		g.e.log.Warn("a lost commit may go unnoticed", "dir", g.e.dir, "err", err)
	}
	g.e.stats.synced(len(g.answered), g.events, g.bytes, time.Since(start))
	return nil
}

// publish shows the group to readers and tails, then answers its callers.
func (g *group) publish() {
	g.e.stats.commits.Add(uint64(len(g.answered)))
	for _, t := range g.touched {
		t.durable.Store(t.meta.bounds())
		g.e.noteGrowth(t)
	}
	g.showNoted()
	g.e.states.put(g.states)
	for _, t := range g.touched {
		t.acks.forget()
	}
	if len(g.runs) > 0 {
		g.e.tails.publish(g.runs, g.bytes+g.events*eventOverhead)
	}
	for i, c := range g.answered {
		if c.then != nil {
			c.then()
		}
		c.done <- result{receipt: g.receipts[i]}
	}
}
