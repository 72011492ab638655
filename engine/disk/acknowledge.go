package disk

import (
	"context"
	"slices"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// receiptGrowth is about what an acknowledgement writes for each event that it tells of.
const receiptGrowth = 128

// Acknowledge takes what a device said, as engine.Acks says.
func (e *Engine) Acknowledge(ctx context.Context, tenant string, said engine.Acknowledgement) (engine.Acknowledged, error) {
	said.Confirmed, said.Written = slices.Clone(said.Confirmed), slices.Clone(said.Written)
	said.Delivered, said.Skipped = copied(said.Delivered), copied(said.Skipped) // the caller may be gone before they are read
	a := &acknowledging{said: said, found: make(map[uint64]*engine.Critical), changed: make(map[uint64]struct{})}
	bytes := mutationOverhead + receiptGrowth*(len(said.Confirmed)+len(said.Written))
	if err := e.perform(ctx, tenant, "an acknowledgement", bytes, a.run); err != nil {
		return engine.Acknowledged{}, err
	}
	return a.out, nil
}

func copied(c *roxy.Cursor) *roxy.Cursor {
	if c == nil {
		return nil
	}
	own := *c
	return &own
}

// acknowledging is one Acknowledge on the committer.
type acknowledging struct {
	said    engine.Acknowledgement
	device  *engine.StoredDevice
	found   map[uint64]*engine.Critical // that are looked at, nil for offsets where there is none
	changed map[uint64]struct{}         // whose receipt of the device changed
	out     engine.Acknowledged
}

// run looks everything up before it changes anything, so that what cannot be read leaves nothing half done.
func (a *acknowledging) run(g *group, t *tenant, all *acks) (err error) {
	if a.device, err = all.of(a.said.Device, a.said.User); err != nil {
		return err
	}
	moves := a.moves(t)
	var delivered []uint64
	if moves && len(a.device.Patterns) > 0 { // without any it was given nothing, and may go past a great many at once
		delivered = all.between(unread(a.device, a.said.Delivered.Offset, t.meta.epoch), a.said.Delivered.Offset)
	}
	for _, offset := range slices.Concat(a.written(), delivered, a.said.Confirmed) {
		if a.found[offset], err = g.critical(t, offset); err != nil {
			return err
		}
	}
	for i := range a.said.Written {
		a.write(g, t, &a.said.Written[i])
	}
	for _, offset := range delivered {
		a.deliver(g, t, offset)
	}
	if moves {
		a.device.Cursor = *a.said.Delivered
		if a.device.Skipped <= a.device.Cursor.Offset {
			a.device.Skipped = 0
		}
	}
	if s := a.said.Skipped; s != nil && s.Epoch == t.meta.epoch && s.Offset > a.device.Skipped {
		a.device.Skipped = s.Offset
		g.note(t, &roxy.AuditRow{Kind: roxy.AuditDevice, User: a.device.User, Device: a.device.Name, Reason: "skipped", Event: s.String()})
	}
	a.out.Cursor = a.device.Cursor
	for _, offset := range a.said.Confirmed {
		if err := a.confirm(g, t, offset); err != nil {
			return err
		}
	}
	for offset := range a.changed {
		if err := g.writeReceipt(t, a.found[offset], a.found[offset].Target(a.device.Name)); err != nil {
			return err
		}
	}
	if len(a.said.Written) > 0 && a.said.Delivered == nil && a.said.Skipped == nil && len(a.said.Confirmed) == 0 {
		return nil // nothing was heard of the device
	}
	a.device.Seen = g.now
	return g.writeDevice(t, a.device)
}

// moves reports whether the device's cursor goes forward.
func (a *acknowledging) moves(t *tenant) bool {
	to, at := a.said.Delivered, a.device.Cursor
	return to != nil && to.Epoch == t.meta.epoch && to.Offset <= t.meta.head && (at.Epoch != to.Epoch || at.Offset < to.Offset)
}

func (a *acknowledging) written() []uint64 {
	offsets := make([]uint64, len(a.said.Written))
	for i := range a.said.Written {
		offsets[i] = a.said.Written[i].Offset
	}
	return offsets
}

// target returns the device's receipt of an event, nil when it is not for it: a name that was forgotten and is another
// user's by now does not stand for the device that it was.
func (a *acknowledging) target(offset uint64) (*engine.Critical, *roxy.DeviceReceipt) {
	c := a.found[offset]
	if c == nil {
		return nil, nil
	}
	if r := c.Target(a.device.Name); r != nil && r.User == a.device.User {
		return c, r
	}
	return c, nil
}

func (a *acknowledging) write(g *group, t *tenant, w *engine.Write) {
	c, r := a.target(w.Offset)
	if r == nil {
		return
	}
	r.Written, r.Transport = w.Time.UTC(), w.Transport
	r.Attempts++
	a.changed[w.Offset] = struct{}{}
	g.noteAck(t, c, &roxy.AuditRow{
		Kind: roxy.AuditDelivery, User: r.User, Device: r.Device, Reason: "written", Attempt: r.Attempts, Transport: r.Transport,
	})
}

// deliver notes that the device has an event which it was given: one that it does not subscribe to any more it was not.
func (a *acknowledging) deliver(g *group, t *tenant, offset uint64) {
	c, r := a.target(offset)
	if r == nil || !r.Delivered.IsZero() || r.Attempts == 0 && !subscribes(a.device, c) {
		return
	}
	r.Delivered = g.now.UTC()
	a.changed[offset] = struct{}{}
	g.noteAck(t, c, &roxy.AuditRow{Kind: roxy.AuditDelivery, User: r.User, Device: r.Device, Reason: "delivered"})
	a.news(c, r)
}

func (a *acknowledging) confirm(g *group, t *tenant, offset uint64) error {
	c, r := a.target(offset)
	if r == nil {
		a.out.Confirmed = append(a.out.Confirmed, roxy.AckUnknown)
		return nil
	}
	status := c.Confirm(r, g.now.UTC())
	a.out.Confirmed = append(a.out.Confirmed, status)
	if status == roxy.AckRepeated {
		return nil
	}
	a.changed[offset] = struct{}{}
	t.acks.confirmed(receiverOf(r), offset)
	g.noteAck(t, c, &roxy.AuditRow{Kind: roxy.AuditAck, User: r.User, Device: r.Device, Reason: string(status)})
	a.news(c, r)
	if status == roxy.AckLate || c.Settlement == "" {
		return nil
	}
	a.news(c, &roxy.DeviceReceipt{})
	return g.settle(t, c)
}

func (a *acknowledging) news(c *engine.Critical, r *roxy.DeviceReceipt) {
	news := engine.AckNews{Critical: *c, Receipt: *r}
	news.Targets = nil
	a.out.News = append(a.out.News, news)
}
