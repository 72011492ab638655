package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Store is what the hub asks of an engine.
type Store interface { //nolint:interfacebloat // the union of roles; whoever needs one takes that
	engine.Log
	engine.Entities
	engine.Mutations
	engine.Restorer
	engine.Devices
	engine.Acks
	engine.Audit
}

// failed turns an engine's error into what a caller may be told, and says what an operator should know.
func (h *Hub) failed(ctx context.Context, tenant string, n int, err error) error {
	if problem, ok := errors.AsType[*roxy.Problem](err); ok {
		h.stats.refused.add(string(problem.Code))
		return problem
	}
	problem := &roxy.Problem{
		Code: roxy.Overloaded, RetryAfter: time.Second, Err: err,
		Detail: "the store did not answer in time; whether anything was stored is unknown: repeat with the same idempotency keys",
	}
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		problem.Detail = "the store cannot do it now"
		h.logger.LogAttrs(ctx, slog.LevelError, "store failed", slog.String("tenant", tenant), slog.Int("items", n), slog.Any("error", err))
	}
	h.stats.refused.add(string(problem.Code))
	return problem
}

// Entity returns what lives at topic in by's view, and a cursor from which to follow it: whatever is not in the entity
// yet comes behind it. Errors: Forbidden, NotFound, NotReady.
func (h *Hub) Entity(ctx context.Context, by roxy.Identity, topic roxy.Topic) (roxy.Entity, roxy.Cursor, error) {
	if err := h.mayRead(by, roxy.Pattern(topic), "topic"); err != nil {
		return roxy.Entity{}, roxy.Cursor{}, err
	}
	bounds, err := h.store.Bounds(ctx, by.Tenant)
	if err != nil {
		return roxy.Entity{}, roxy.Cursor{}, unreadable("store", err)
	}
	e, err := h.store.Entity(ctx, by.Tenant, topic)
	if err != nil {
		return roxy.Entity{}, roxy.Cursor{}, unreadable("store", err)
	}
	if !e.Exists() {
		return roxy.Entity{}, roxy.Cursor{}, &roxy.Problem{Code: roxy.NotFound, Member: "topic", Detail: fmt.Sprintf("nothing lives at %q", topic)}
	}
	views := h.views.Load()
	e.Data = views.view(views.on(topic).and(views.hiddenFrom(by.Roles))).Redact(e.Data)
	return e, roxy.Cursor{Epoch: bounds.Epoch, Offset: bounds.Head}, nil
}

// Entities returns up to limit entities that match pattern, behind the topic after, sorted by topic, in by's view; more
// says that there are further ones. All are as they were at cursor.
func (h *Hub) Entities(
	ctx context.Context, by roxy.Identity, pattern roxy.Pattern, after roxy.Topic, limit int,
) (list []roxy.Entity, cursor roxy.Cursor, more bool, err error) {
	if err := h.mayRead(by, pattern, "match"); err != nil {
		return nil, roxy.Cursor{}, false, err
	}
	if err := h.affordPage(ctx, limit); err != nil {
		return nil, roxy.Cursor{}, false, err
	}
	snapshot, err := h.store.Snapshot(ctx, by.Tenant)
	if err != nil {
		return nil, roxy.Cursor{}, false, unreadable("store", err)
	}
	defer snapshot.Close()
	views := h.views.Load()
	hidden := views.hiddenFrom(by.Roles)
	bytes := 0
	for e, err := range snapshot.Entities(ctx, []roxy.Pattern{pattern}, after) {
		if err != nil {
			return nil, roxy.Cursor{}, false, unreadable("store", err)
		}
		if len(list) == limit || bytes > maxListBytes {
			more = true
			break
		}
		e.Data = views.view(views.on(e.Topic).and(hidden)).Redact(e.Data)
		bytes += len(e.Data)
		list = append(list, e)
	}
	b := snapshot.Bounds()
	return list, roxy.Cursor{Epoch: b.Epoch, Offset: b.Head}, more, nil
}

// maxListBytes ends a page early: one page is held in memory.
const maxListBytes = 4 << 20

func (h *Hub) mayRead(by roxy.Identity, p roxy.Pattern, member string) error {
	if !by.Grant.MayRead(p) {
		return &roxy.Problem{Code: roxy.Forbidden, Member: member, Detail: fmt.Sprintf("%s %q lies outside what %q may read", member, p, by.User)}
	}
	return nil
}
