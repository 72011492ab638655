package hub

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// queuesOver is over how many of a log's last events queues are counted: ten times what a mailbox holds by default, and
// some ten ms to read.
const queuesOver = 10_000

// Queue is what waits for a device: the events behind its cursor that are for it.
type Queue struct {
	Device string
	Size   int
	Oldest time.Time // of these
}

// Queues returns the queues of a tenant's devices that have one, the longest first. Of a log only the last 10,000 events are
// looked at, once for all devices.
func (h *Hub) Queues(ctx context.Context, tenant string) ([]Queue, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	devices, err := h.store.Devices(ctx, tenant)
	if err != nil {
		return nil, h.failed(ctx, tenant, 1, err)
	}
	bounds, err := h.store.Bounds(ctx, tenant)
	if err != nil {
		return nil, unreadable("log", err)
	}
	queues := make([]Queue, len(devices))
	kinds, behind := byKind(devices, queues, bounds)
	after := max(behind, bounds.First-1, bounds.Head-min(bounds.Head, queuesOver))
	now, read := time.Now(), 0
	for s, err := range h.chunks.stretches(ctx, tenant, engine.Query{After: after, Until: bounds.Head}, &read) {
		if err == nil {
			err = h.affordPage(ctx, len(s.events))
		}
		if err != nil {
			return nil, unreadable("log", err)
		}
		for i := range s.events {
			if e := &s.events[i]; !e.Expired(now) {
				for _, k := range kinds {
					k.count(e)
				}
			}
		}
	}
	queues = slices.DeleteFunc(queues, func(q Queue) bool { return q.Size == 0 })
	slices.SortFunc(queues, func(a, b Queue) int { return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Device, b.Device)) })
	return queues, nil
}

// deviceKind is the devices that subscribe to the same with the same roles, so that it is asked once for all of them which
// events they subscribe to: a thousand tablets of a tenant are of some five kinds.
type deviceKind struct {
	like  *roxy.Device
	owned []ownQueue // by cursor, growing
}

// ownQueue is a device of a kind, with what is counted of it.
type ownQueue struct {
	*roxy.Device
	queue *Queue
}

// byKind sorts devices by kind, each with its place in queues, and tells how far behind the last of them is. Those with a
// cursor of another life of the log are left out: nothing of this one waits for them before they were told so.
func byKind(devices []roxy.Device, queues []Queue, b engine.Bounds) (kinds []*deviceKind, behind uint64) {
	known := make(map[string]*deviceKind)
	behind = b.Head
	for i := range devices {
		d := &devices[i]
		queues[i].Device = d.Name
		if d.Cursor.Epoch != b.Epoch {
			continue
		}
		var key strings.Builder // neither patterns nor names hold control characters
		for _, p := range d.Patterns {
			key.WriteString(p.String() + "\n")
		}
		key.WriteString("\x00" + strings.Join(d.Types, "\n") + "\x00" + strings.Join(d.Roles, "\n"))
		k := known[key.String()]
		if k == nil {
			k = &deviceKind{like: d}
			known[key.String()] = k
			kinds = append(kinds, k)
		}
		k.owned = append(k.owned, ownQueue{d, &queues[i]})
		behind = min(behind, d.Cursor.Offset)
	}
	for _, k := range kinds {
		slices.SortFunc(k.owned, func(a, b ownQueue) int { return cmp.Compare(a.Cursor.Offset, b.Cursor.Offset) })
	}
	return kinds, behind
}

// count adds e to the queues of those that it waits for.
func (k *deviceKind) count(e *roxy.Event) {
	if len(k.owned) == 0 || k.owned[0].Cursor.Offset >= e.Offset || !k.like.Subscribes(e.Topic, e.Type) {
		return
	}
	all := e.To.Everyone() || e.To.IncludesRole(k.like.Roles)
	for _, d := range k.owned {
		if d.Cursor.Offset >= e.Offset {
			return
		}
		if e.Except == d.Name || !all && !slices.Contains(e.To.Users, d.User) {
			continue
		}
		if d.queue.Size++; d.queue.Size == 1 {
			d.queue.Oldest = e.Time
		}
	}
}
