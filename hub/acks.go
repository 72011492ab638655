package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Acks is what a device acknowledges (docs/protocol.md §7).
type Acks struct {
	Device    string
	Delivered *roxy.Cursor  // it has everything up to it; nil says nothing
	Confirmed []roxy.Cursor // critical events that somebody confirms on it
}

// Acknowledge takes acks for a device of by's, durably when it returns: where the device's cursor is by now, and what each
// confirmation did. Errors: InvalidParameter, NotFound and Forbidden naming the member.
func (h *Hub) Acknowledge(ctx context.Context, by roxy.Identity, acks Acks) (roxy.Cursor, []roxy.AckStatus, error) {
	if err := roxy.CheckDevice(acks.Device); err != nil {
		return roxy.Cursor{}, nil, &roxy.Problem{Code: roxy.InvalidParameter, Member: "device", Detail: err.Error()}
	}
	if n := len(acks.Confirmed); n > h.opts.MaxBatch {
		return roxy.Cursor{}, nil, &roxy.Problem{Code: roxy.InvalidParameter, Member: "ids", Detail: fmt.Sprintf("%d ids, at most %d", n, h.opts.MaxBatch)}
	}
	// Whoever does not wait for the answer has said it all the same, and publishers are to hear of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.CommitTimeout)
	defer cancel()
	bounds, err := h.store.Bounds(ctx, by.Tenant)
	if err != nil {
		return roxy.Cursor{}, nil, h.failed(ctx, by.Tenant, 1, err)
	}
	said := engine.Acknowledgement{Device: acks.Device, User: by.User, Delivered: acks.Delivered}
	for _, c := range acks.Confirmed {
		if c.Epoch == bounds.Epoch { // another life's is unknown
			said.Confirmed = append(said.Confirmed, c.Offset)
		}
	}
	began := time.Now()
	out, err := h.acknowledge(ctx, by.Tenant, said)
	if err != nil {
		return roxy.Cursor{}, nil, h.failed(ctx, by.Tenant, len(acks.Confirmed), err)
	}
	h.stats.commitLatency.Observe(time.Since(began).Seconds())
	statuses, next := make([]roxy.AckStatus, len(acks.Confirmed)), 0
	for i, c := range acks.Confirmed {
		if statuses[i] = roxy.AckUnknown; c.Epoch == bounds.Epoch {
			statuses[i] = out.Confirmed[next]
			next++
		}
		h.stats.acks.add(string(statuses[i]))
	}
	return out.Cursor, statuses, nil
}

// acknowledge hands an acknowledgement to the engine with all that was written to the device before, and tells those who
// published what came of it.
func (h *Hub) acknowledge(ctx context.Context, tenant string, said engine.Acknowledgement) (engine.Acknowledged, error) {
	said.Written = h.written.take(deviceKey{tenant, said.Device}, said.User)
	out, err := h.store.Acknowledge(ctx, tenant, said)
	if err != nil {
		return engine.Acknowledged{}, err
	}
	for i := range out.News {
		h.tell(tenant, &out.News[i])
	}
	return out, nil
}

// Receipts returns what is known of a critical event and each device that it is for. It is for its publisher and for
// administrators; to others there is none. Error: NotFound.
func (h *Hub) Receipts(ctx context.Context, by roxy.Identity, cursor roxy.Cursor) (engine.Critical, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	c, err := h.store.Critical(ctx, by.Tenant, cursor.Offset)
	if err == nil && c.Epoch == cursor.Epoch && (c.By == by.User || by.Grant.Admin) {
		return c, nil
	}
	if err != nil && !errors.Is(err, roxy.ErrNotFound) {
		return engine.Critical{}, h.failed(ctx, by.Tenant, 1, err)
	}
	return engine.Critical{}, &roxy.Problem{Code: roxy.NotFound, Member: "cursor", Detail: "no critical event of yours is retained at this cursor"}
}

// AckNews tells a publisher what became of a critical event: of one device by Status, or of all by Settled.
type AckNews struct {
	ID          string             `json:"id"` // the event's cursor
	Correlation string             `json:"correlation,omitempty"`
	Status      string             `json:"status,omitempty"` // delivered, confirmed, late
	Device      string             `json:"device,omitempty"`
	User        string             `json:"user,omitempty"`
	Settled     roxy.Settlement    `json:"settled,omitempty"`
	Reason      roxy.UnackedReason `json:"reason,omitempty"`
	Time        time.Time          `json:"time"`
}

// tell gives news to the streams of whoever published the event.
func (h *Hub) tell(tenant string, n *engine.AckNews) {
	news := AckNews{ID: n.Cursor().String(), Correlation: n.Correlation}
	switch r := &n.Receipt; {
	case r.Device == "":
		news.Settled, news.Time = n.Settlement, n.Settled
		h.stats.settled.add(string(n.Settlement))
		h.stats.ackLatency.Observe(n.Settled.Sub(n.Time).Seconds())
		h.deadlines.settled(tenant, n.Offset)
	case r.Late:
		news.Status, news.Time = string(roxy.AckLate), r.Confirmed
	case !r.Confirmed.IsZero():
		news.Status, news.Time = string(roxy.AckConfirmed), r.Confirmed
	default:
		news.Status, news.Time = "delivered", r.Delivered
	}
	news.Device, news.User = n.Receipt.Device, n.Receipt.User
	h.shardOf(tenant).control(tenant, n.By, "", Control{Type: "roxy:ack", Data: news})
}

// mourn tells whoever published an event that nobody confirmed it. That comes out of the log, as the rest of the world
// hears of it, whoever gave it up. t is nil for a tenant without streams.
func (s *shard) mourn(t *tenant, letter *roxy.Event) {
	dead, err := engine.ReadDeadLetter(letter)
	if err != nil {
		s.hub.logger.Error("a dead letter cannot be read", "error", err)
		return
	}
	s.hub.stats.settled.add(string(dead.Reason))
	s.hub.stats.ackLatency.Observe(letter.Time.Sub(dead.Time).Seconds())
	if t != nil {
		s.give(t, dead.By, "", Control{Type: "roxy:ack", Data: AckNews{
			ID: dead.Event, Correlation: letter.Correlation, Settled: roxy.Unacked, Reason: dead.Reason, Time: letter.Time,
		}})
	}
}
