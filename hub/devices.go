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

	mu     sync.Mutex
	due    []awaited
	given  uint64 // frames of the stream's lane since it joined its class
	passed uint64 // and those of them that were written
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
	if sub.After != nil && *sub.After != found.Cursor {
		said := engine.Acknowledgement{Device: sub.Device, User: who.User, Delivered: sub.After}
		if _, err := h.acknowledge(ctx, who.Tenant, said); err != nil {
			return nil, h.failed(ctx, who.Tenant, 1, err)
		}
	}
	return &attention{Registration: found}, nil
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
