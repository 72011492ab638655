package hub

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// deviceKey names a device.
type deviceKey struct{ tenant, device string }

// attention is what a device's stream keeps of critical events: what the engine told when it began, and what is on its way
// to the device.
type attention struct {
	engine.Registration
	cursor roxy.Cursor // where the device's mailbox begins

	mu     sync.Mutex
	due    []awaited
	given  uint64 // frames of the stream's lane since it joined its class
	passed uint64 // and those of them that were written
}

// awaited is a critical event on its way: written once the stream's position reaches its offset or, delivered again, its
// lane has come to its frame.
type awaited struct {
	offset uint64
	lane   uint64 // 0 for one at its place in the log
}

// registerDevice makes the engine know the device of a subscription, and takes a cursor with which it comes back for what it
// is: an acknowledgement of all before.
func (h *Hub) registerDevice(ctx context.Context, sub *Subscription) (*attention, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.CommitTimeout) // publishers are to hear what it says
	defer cancel()
	who := sub.Identity
	found, err := h.store.Register(ctx, who.Tenant, roxy.Device{
		Name: sub.Device, User: who.User, Roles: who.Roles, Patterns: sub.Patterns, Types: sub.Types,
	}, h.opts.DevicesPerUser)
	if err != nil {
		return nil, h.failed(ctx, who.Tenant, 1, err)
	}
	a := &attention{Registration: found, cursor: found.Cursor}
	if sub.After != nil && *sub.After != found.Cursor {
		said, err := h.acknowledge(ctx, who.Tenant, engine.Acknowledgement{Device: sub.Device, User: who.User, Delivered: sub.After})
		if err != nil {
			return nil, h.failed(ctx, who.Tenant, 1, err)
		}
		a.cursor = said.Cursor
	}
	return a, nil
}

// overflows reports whether more waits for a device than a mailbox holds.
func (st *stream) overflows(ctx context.Context, head uint64) (bool, error) {
	n, oldest, err := st.waiting(ctx, head, uint64(st.hub.opts.MailboxEvents)) //nolint:gosec // never negative
	if err != nil {
		return false, err
	}
	return n > uint64(st.hub.opts.MailboxEvents) || n > 0 && time.Since(oldest) > st.hub.opts.MailboxAge, nil //nolint:gosec // as above
}

// skip tells the engine what the device will never be given, so that nothing of it is taken for delivered.
func (st *stream) skip(ctx context.Context, to roxy.Cursor) error {
	_, err := st.hub.acknowledge(ctx, st.sub.Identity.Tenant, engine.Acknowledgement{Device: st.sub.Device, User: st.sub.Identity.User, Skipped: &to})
	return err
}

// offer gives the critical events that the device has still to confirm, before all else. They have no id: a client that
// took one for its position would go back, or leave out what lies between.
func (st *stream) offer(ctx context.Context) error {
	hidden := st.views.hiddenFrom(st.sub.Identity.Roles)
	var written []engine.Write
	defer func() { st.hub.written.add(st, written) }()
	for _, open := range st.device.Open {
		if err := st.afford(ctx, 1); err != nil {
			return err
		}
		e, ok, err := st.hub.eventAt(ctx, st.sub.Identity.Tenant, open.Offset)
		if err != nil {
			return err
		}
		if !ok || !st.sub.takes(&e) || e.Expired(time.Now()) {
			continue
		}
		envelope := appendAttempt(nil, &e, st.cursor(e.Offset), open.Attempt, st.views.view(st.views.on(e.Topic).and(hidden)))
		if err := st.write(st.sub.Encoding.AppendEvent(nil, roxy.Cursor{}, e.Type, envelope), 1); err != nil {
			return err
		}
		written = append(written, engine.Write{Offset: e.Offset, Time: time.Now(), Transport: st.sub.Transport})
		if st.over() {
			break
		}
	}
	st.device.Open = nil
	return nil
}

// eventAt reads one event of a log; false when it is no longer retained.
func (h *Hub) eventAt(ctx context.Context, tenant string, offset uint64) (roxy.Event, bool, error) {
	for e, err := range h.store.Read(ctx, tenant, engine.Query{After: offset - 1, Until: offset}) {
		if err != nil {
			if errors.Is(err, engine.ErrTrimmed) {
				return roxy.Event{}, false, nil
			}
			return roxy.Event{}, false, err
		}
		return e, true, nil
	}
	return roxy.Event{}, false, nil
}

// expect notes that e is about to be written to the stream, at its place in the log.
func (st *stream) expect(e *roxy.Event) {
	if e.Ack != nil && st.device != nil {
		st.device.expect(e.Offset, false)
	}
}

// expect notes that a critical event is on its way to the device: at its place in the log, or by the next frame of its lane.
func (a *attention) expect(offset uint64, lane bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := awaited{offset: offset}
	if lane {
		p.lane = a.given + 1
	}
	a.due = append(a.due, p)
}

// queued counts a frame of the stream's lane.
func (a *attention) queued() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given++
}

// wrote takes what has been written by now: everything up to a position of the log, and one more frame of the lane.
func (a *attention) wrote(position uint64, private bool) (offsets []uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if private && a.passed < a.given {
		a.passed++
	}
	if len(a.due) == 0 {
		return nil
	}
	a.due = slices.DeleteFunc(a.due, func(p awaited) bool {
		there := p.lane == 0 && p.offset <= position || p.lane != 0 && p.lane <= a.passed
		if there {
			offsets = append(offsets, p.offset)
		}
		return there
	})
	return offsets
}

// anew forgets what was on its way through a class that the stream has left: what lies in the log is replayed, and expected
// again, unless it has expired meanwhile; what was delivered again is when it is due next.
func (a *attention) anew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given, a.passed, a.due = 0, 0, nil
}

// writes gathers what was written to devices. It is for the receipts alone, so it may be lost by a crash; what a device
// says itself is not.
type writes struct {
	hub *Hub

	flushing sync.Mutex // held until what was pending is noted: the last flush waits for one that a timer began

	mu      sync.Mutex
	pending map[deviceKey]*engine.Acknowledgement
}

const (
	// writesEvery is how long writes wait for others: one commit for many.
	writesEvery = 100 * time.Millisecond
	// writers is how many devices' writes are committed at once: they share a sync.
	writers = 64
)

func (w *writes) add(st *stream, written []engine.Write) {
	if len(written) == 0 {
		return
	}
	key := deviceKey{st.sub.Identity.Tenant, st.sub.Device}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending) == 0 {
		time.AfterFunc(writesEvery, w.flush)
	}
	p := w.pending[key]
	if p == nil {
		p = &engine.Acknowledgement{Device: st.sub.Device, User: st.sub.Identity.User}
		w.pending[key] = p
	}
	p.Written = append(p.Written, written...)
}

// take returns what was written to a device of the user's and not yet noted.
func (w *writes) take(key deviceKey, user string) []engine.Write {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending[key]
	if p == nil || p.User != user { // whoever else speaks for the device is about to be refused
		return nil
	}
	delete(w.pending, key)
	return p.Written
}

// flush notes everything.
func (w *writes) flush() {
	w.flushing.Lock()
	defer w.flushing.Unlock()
	w.mu.Lock()
	pending := w.pending
	w.pending = make(map[deviceKey]*engine.Acknowledgement)
	w.mu.Unlock()
	w.hub.note(w.hub.running, pending)
}

// note takes what is known of many devices, and waits until it is durable.
func (h *Hub) note(ctx context.Context, known map[deviceKey]*engine.Acknowledgement) {
	var all sync.WaitGroup
	turns := make(chan struct{}, writers)
	for key, a := range known {
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
			defer cancel()
			_, err := h.store.Acknowledge(ctx, key.tenant, *a)
			if err != nil && ctx.Err() == nil && !errors.Is(err, roxy.ErrNotFound) { // forgotten meanwhile
				h.logger.Warn("what is known of a device could not be noted", "tenant", key.tenant, "device", key.device, "error", err)
			}
		})
	}
	all.Wait()
}

// Devices returns the tenant's devices but for the hub's own, sorted by name, and the live connection of those that have one, by name.
func (h *Hub) Devices(ctx context.Context, tenant string) ([]roxy.Device, map[string]Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	list, err := h.store.Devices(ctx, tenant)
	if err != nil {
		return nil, nil, h.failed(ctx, tenant, 1, err)
	}
	list = slices.DeleteFunc(list, func(d roxy.Device) bool { return engine.SystemDevice(d.Name) })
	connected := make(map[string]Connection)
	h.mu.Lock()
	live := make([]*stream, 0, len(list))
	for key, st := range h.devices {
		if key.tenant == tenant {
			live = append(live, st)
		}
	}
	h.mu.Unlock()
	for _, st := range live {
		connected[st.sub.Device] = st.describe()
	}
	return list, connected, nil
}

// Forget removes a device of by's, or any one for an administrator, and ends its stream. It is no target of critical events
// from then on. Errors: NotFound, Forbidden.
func (h *Hub) Forget(ctx context.Context, by roxy.Identity, device string) error {
	user := by.User
	if by.Grant.Admin {
		user = ""
	}
	if err := roxy.CheckDevice(device); err != nil {
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "device", Detail: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	if err := h.store.Forget(ctx, by.Tenant, user, device); err != nil {
		return h.failed(ctx, by.Tenant, 1, err)
	}
	h.mu.Lock()
	st := h.devices[deviceKey{by.Tenant, device}]
	h.mu.Unlock()
	if st != nil {
		st.end(Replaced)
	}
	return nil
}

// replace makes st the one stream of its device, and returns the one before. h.mu is held.
func (h *Hub) replace(st *stream) (before *stream) {
	if st.device == nil {
		return nil
	}
	key := deviceKey{st.sub.Identity.Tenant, st.sub.Device}
	before = h.devices[key]
	h.devices[key] = st
	return before
}

// touch tells the engine which devices are connected, so that they stay among those that critical events are for.
func (h *Hub) touch(ctx context.Context) {
	h.mu.Lock()
	live := make(map[deviceKey]*engine.Acknowledgement, len(h.devices))
	for key, st := range h.devices {
		live[key] = &engine.Acknowledgement{Device: key.device, User: st.sub.Identity.User}
	}
	h.mu.Unlock()
	h.note(ctx, live)
}

// mailbox holds what waits for the device against what a mailbox holds.
func (st *stream) mailbox(ctx context.Context, from start, b engine.Bounds) (start, error) {
	st.sent = from.offset
	over, err := st.overflows(ctx, b.Head)
	if err != nil || !over {
		return from, err
	}
	from.reset, from.offset, from.snapshot = "overflow", b.Head, st.sub.Snapshot
	return from, nil
}
