package hub

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// deadlines has critical events delivered again when they are due, until they are settled. What is due is the engine's to
// say: here are only the times at which to ask it.
type deadlines struct {
	hub *Hub

	mu      sync.Mutex
	waiting deadlineHeap
	known   map[eventKey]*deadline // those that wait, so that each waits once
	sooner  chan struct{}          // readable when something was added
}

// eventKey names an event.
type eventKey struct {
	tenant string
	offset uint64
}

// deadline is when a critical event of a tenant is to be looked at.
type deadline struct {
	tenant string
	engine.OpenAck
	index int // in the heap
}

const (
	// advanceEvery is how soon an event is looked at again when the engine could not.
	advanceEvery = time.Second
	// clockEvery bounds a wait: times are the wall clock's, and that may be set.
	clockEvery = time.Minute
)

func newDeadlines(h *Hub) *deadlines {
	return &deadlines{hub: h, known: make(map[eventKey]*deadline), sooner: make(chan struct{}, 1)}
}

// add has an event looked at when it is due.
func (d *deadlines) add(tenant string, o engine.OpenAck) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := eventKey{tenant, o.Offset}
	if before := d.known[key]; before != nil {
		if before.Attempt >= o.Attempt {
			return
		}
		heap.Remove(&d.waiting, before.index)
	}
	d.known[key] = &deadline{tenant: tenant, OpenAck: o}
	heap.Push(&d.waiting, d.known[key])
	select {
	case d.sooner <- struct{}{}:
	default: // it is already
	}
}

// settled forgets an event that needs no delivery any more.
func (d *deadlines) settled(tenant string, offset uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := eventKey{tenant, offset}
	if known := d.known[key]; known != nil {
		heap.Remove(&d.waiting, known.index)
		delete(d.known, key)
	}
}

// open returns how many events wait.
func (d *deadlines) open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting)
}

// due takes out what is due, by tenant, and tells how long nothing else is.
func (d *deadlines) due(now time.Time) (due map[string][]engine.OpenAck, wait time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	due = make(map[string][]engine.OpenAck)
	for len(d.waiting) > 0 {
		first := d.waiting[0]
		if first.Due.After(now) {
			return due, min(first.Due.Sub(now), clockEvery)
		}
		heap.Pop(&d.waiting)
		delete(d.known, eventKey{first.tenant, first.Offset})
		due[first.tenant] = append(due[first.tenant], first.OpenAck)
	}
	return due, clockEvery
}

// resume takes up what was open when the hub stopped. A tenant whose acknowledgements are damaged does not keep the others
// from theirs.
func (d *deadlines) resume(ctx context.Context) error {
	open, err := d.hub.store.Open(ctx)
	if errors.Is(err, engine.ErrCorrupt) {
		d.hub.logger.Error("critical events of a tenant will neither be delivered again nor given up", "error", err)
		err = nil
	}
	for tenant, list := range open {
		for _, o := range list {
			d.add(tenant, o)
		}
	}
	return err
}

// run asks for what is due until ctx ends.
func (d *deadlines) run(ctx context.Context) {
	touch := time.NewTicker(d.hub.opts.MailboxAge / 8)
	defer touch.Stop()
	for {
		due, wait := d.due(time.Now())
		for tenant, list := range due {
			d.advance(ctx, tenant, list)
		}
		if len(due) > 0 {
			continue
		}
		select {
		case <-time.After(wait):
		case <-d.sooner:
		case <-touch.C:
			d.hub.touch(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// advance goes to the next delivery of a tenant's events.
func (d *deadlines) advance(ctx context.Context, tenant string, due []engine.OpenAck) {
	limited, cancel := context.WithTimeout(ctx, d.hub.opts.CommitTimeout)
	defer cancel()
	advanced, err := d.hub.store.Advance(limited, tenant, due)
	if err != nil && ctx.Err() == nil {
		d.hub.logger.Warn("critical events wait for their next delivery", "tenant", tenant, "events", len(due), "error", err)
	}
	for _, o := range due {
		if len(advanced) == 0 || advanced[0].Offset != o.Offset { // it is some of due, in that order
			d.again(limited, tenant, o, err)
			continue
		}
		c := &advanced[0]
		advanced = advanced[1:]
		if c.Settlement != "" {
			continue // its dead letter tells
		}
		d.add(tenant, engine.OpenAck{Offset: c.Offset, Attempt: c.Attempt, Due: c.Due})
		if err := d.deliver(limited, tenant, c); err != nil && ctx.Err() == nil {
			d.hub.logger.Warn("a critical event could not be delivered again", "tenant", tenant, "event", c.Cursor().String(), "error", err)
		}
	}
}

// again looks after an event that was not advanced: it was settled or advanced before, by another hub or a call whose
// outcome was unknown, or could not be.
func (d *deadlines) again(ctx context.Context, tenant string, o engine.OpenAck, err error) {
	if err == nil {
		var c engine.Critical
		c, err = d.hub.store.Critical(ctx, tenant, o.Offset)
		if errors.Is(err, roxy.ErrNotFound) || err == nil && c.Settlement != "" {
			return
		}
		if err == nil {
			o = engine.OpenAck{Offset: c.Offset, Attempt: c.Attempt, Due: c.Due}
		}
	}
	if err != nil {
		o.Due = time.Now().Add(advanceEvery)
	}
	d.add(tenant, o)
}

// deliver gives an event once more to the devices that have not confirmed it and are connected here.
func (d *deadlines) deliver(ctx context.Context, tenant string, c *engine.Critical) error {
	e, ok, err := d.hub.eventAt(ctx, tenant, c.Offset)
	if err != nil || !ok {
		return err
	}
	d.hub.shardOf(tenant).deliverAgain(tenant, &e, c)
	return nil
}

// deliverAgain gives the event of c to the streams of its targets through their lanes.
func (s *shard) deliverAgain(tenantName string, e *roxy.Event, c *engine.Critical) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tenants[tenantName]
	if t == nil {
		return
	}
	texts := make(map[*class]*encoded)
	for _, missing := range c.Missing() {
		for _, st := range t.devices[missing.Device] {
			class := st.class
			if st.device == nil || !st.sub.takes(e) {
				continue
			}
			text := texts[class]
			if text == nil {
				hidden := class.views.view(class.views.on(e.Topic).and(class.hidden))
				text = &encoded{text: class.encoding.AppendEvent(nil, roxy.Cursor{}, e.Type, appendAttempt(nil, e, c.Cursor(), c.Attempt, hidden))}
				texts[class] = text
			}
			st.device.expect(c.Offset, true)
			class.give(st, text, &roxy.Event{Time: time.Now()})
			s.hub.stats.redeliveries.Add(1)
		}
	}
}

// deadlineHeap has the soonest first.
type deadlineHeap []*deadline

// Len is container/heap's, as the others are.
func (h *deadlineHeap) Len() int { return len(*h) }

// Less tells what is due sooner.
func (h *deadlineHeap) Less(i, j int) bool { return (*h)[i].Due.Before((*h)[j].Due) }

// Swap keeps the indices right.
func (h *deadlineHeap) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].index, s[j].index = i, j
}

// Push appends.
func (h *deadlineHeap) Push(x any) {
	d := x.(*deadline) //nolint:forcetypeassert // heap.Push is called with nothing else
	d.index = len(*h)
	*h = append(*h, d)
}

// Pop takes the last.
func (h *deadlineHeap) Pop() any {
	s := *h
	last := s[len(s)-1]
	s[len(s)-1] = nil
	*h = s[:len(s)-1]
	return last
}
