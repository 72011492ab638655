package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Published is the outcome of one event.
type Published struct {
	ID        string      // the event's idempotency key, or the cursor when it had none; "" for an ephemeral event without
	Cursor    roxy.Cursor // zero for an ephemeral event
	Duplicate bool        // an earlier publish with this key: Cursor is its
	Ephemeral bool
}

// Publish commits events for by, all or none, in order, and returns when they are durable. Ephemeral ones among them
// are dispatched when the others are committed. It sets By and a missing Type on the events, and keeps none of them.
// An error is a *roxy.Problem; for more than one event its Member begins with the index, as in [3].topic.
func (h *Hub) Publish(ctx context.Context, by roxy.Identity, events []roxy.Event) ([]Published, error) {
	if n := len(events); n == 0 || n > h.opts.MaxBatch {
		return nil, &roxy.Problem{Code: roxy.InvalidEvent, Detail: fmt.Sprintf("%d events, want 1–%d", n, h.opts.MaxBatch)}
	}
	durable := make([]roxy.Event, 0, len(events))
	places := make([]int, 0, len(events)) // of the durable ones among all
	for i := range events {
		e := &events[i]
		e.By = by.User
		if e.Type == "" {
			e.Type = roxy.DefaultType
		}
		if err := h.mayPublish(by, e); err != nil {
			return nil, at(i, len(events), err)
		}
		if !e.Ephemeral {
			durable = append(durable, *e)
			places = append(places, i)
		}
	}
	receipt, err := h.commit(ctx, by.Tenant, durable)
	if err != nil {
		return nil, relocate(err, places, len(events))
	}
	results := make([]Published, len(events))
	next := 0
	for i := range events {
		e := &events[i]
		if e.Ephemeral {
			h.signal(by.Tenant, *e)
			results[i] = Published{ID: e.ID, Ephemeral: true}
			continue
		}
		entry := receipt.Entries[next]
		next++
		cursor := roxy.Cursor{Epoch: receipt.Epoch, Offset: entry.Offset}
		results[i] = Published{ID: e.ID, Cursor: cursor, Duplicate: entry.Duplicate}
		if e.ID == "" {
			results[i].ID = cursor.String()
		}
		if entry.Duplicate {
			h.stats.duplicates.Add(1)
		} else {
			h.stats.eventsIn.Add(1)
		}
	}
	return results, nil
}

func (h *Hub) mayPublish(by roxy.Identity, e *roxy.Event) error {
	if err := e.Check(h.opts.MaxEventBytes); err != nil {
		return err
	}
	if !by.Grant.MayPublish(e.Topic) {
		return &roxy.Problem{Code: roxy.Forbidden, Member: "topic", Detail: fmt.Sprintf("topic %q lies outside what %q may publish", e.Topic, by.User)}
	}
	return h.conforms(e)
}

// commit hands events to the engine and turns its errors into what a caller may be told.
func (h *Hub) commit(ctx context.Context, tenant string, events []roxy.Event) (engine.Receipt, error) {
	if len(events) == 0 {
		return engine.Receipt{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	began := time.Now()
	receipt, err := h.store.Commit(ctx, tenant, events)
	if err == nil {
		h.stats.commitLatency.Observe(time.Since(began).Seconds())
		for i := range events {
			h.stats.bytesIn.Add(uint64(events[i].Size())) //nolint:gosec // never negative
		}
		return receipt, nil
	}
	return engine.Receipt{}, h.failed(ctx, tenant, len(events), err)
}

// signal dispatches an ephemeral event; it is lost when nobody listens.
func (h *Hub) signal(tenant string, e roxy.Event) {
	e.Time = time.Now().UTC()
	h.stats.ephemeral.Add(1)
	h.shardOf(tenant).signal(tenant, &e)
}

// at puts the index of the event at fault before a problem's member.
func at(i, n int, err error) error {
	var p *roxy.Problem
	if n == 1 || !errors.As(err, &p) {
		return err
	}
	located := *p
	located.Member = fmt.Sprintf("[%d]", i)
	if p.Member != "" {
		located.Member += "." + p.Member
	}
	return &located
}

// relocate turns the index in an engine's problem, among the events that it was given, into the one among all n.
func relocate(err error, places []int, n int) error {
	var p *roxy.Problem
	if n == len(places) || !errors.As(err, &p) || p.Code != roxy.KeyReused && p.Code != roxy.RateLimited {
		return err
	}
	i, member := 0, p.Member
	if index, rest, ok := strings.Cut(p.Member, "]."); ok {
		member = rest
		if _, err := fmt.Sscanf(index, "[%d", &i); err != nil || i >= len(places) {
			return p
		}
	}
	located := *p
	located.Member = member
	return at(places[i], n, &located)
}
