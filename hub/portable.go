package hub

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Export returns all that a tenant is at one position: the entities, and the events up to the snapshot's head. It hides
// nothing. The caller closes the snapshot.
func (h *Hub) Export(ctx context.Context, tenant string) (engine.Snapshot, iter.Seq2[roxy.Event, error], error) {
	snapshot, err := h.store.Snapshot(ctx, tenant)
	if err != nil {
		return nil, nil, unreadable("store", err)
	}
	b := snapshot.Bounds()
	if b.First > b.Head {
		return snapshot, func(func(roxy.Event, error) bool) {}, nil
	}
	return snapshot, h.store.Read(ctx, tenant, engine.Query{After: b.First - 1, Until: b.Head}), nil
}

// Import takes in one part of a tenant. Until the last one nobody else is let in: who followed the tenant when the
// import began is sent away, to come back in a moment. Errors are those of engine.Restorer, as a caller may be told.
func (h *Hub) Import(ctx context.Context, tenant string, part engine.Restoration) (engine.Restored, error) {
	restored, err := h.store.Restore(ctx, tenant, part)
	if err != nil {
		return engine.Restored{}, h.failed(ctx, tenant, len(part.Events)+len(part.States), err)
	}
	h.forgetTenant(tenant)
	return restored, nil
}

// Imported tells how far an import is.
func (h *Hub) Imported(ctx context.Context, tenant string) (engine.Restored, error) {
	restored, err := h.store.Restored(ctx, tenant)
	if err != nil {
		return engine.Restored{}, unreadable("store", err)
	}
	return restored, nil
}

// AbandonImport gives an import up and empties the tenant again.
func (h *Hub) AbandonImport(ctx context.Context, tenant string) error {
	if err := h.store.Abandon(ctx, tenant); err != nil {
		return h.failed(ctx, tenant, 0, err)
	}
	h.forgetTenant(tenant)
	h.logger.LogAttrs(ctx, slog.LevelInfo, "import given up", slog.String("tenant", tenant))
	return nil
}

// forgetTenant drops what is remembered of a log that is another one by now, and sends away who followed that.
func (h *Hub) forgetTenant(tenant string) {
	h.chunks.drop(tenant)
	h.snapshots.drop(tenant)
	h.endWhere(Drain, func(_ []roxy.Pattern, token roxy.Identity) bool { return token.Tenant == tenant })
}

// drop forgets what was read of a tenant's log.
func (c *chunks) drop(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, ch := range c.known {
		if key.tenant == tenant {
			c.forget(key, ch)
		}
	}
}

// drop gives the tenant's snapshot to nobody else.
func (s *snapshots) drop(tenant string) {
	s.mu.Lock()
	held := s.current[tenant]
	s.mu.Unlock()
	if held != nil {
		s.retire(tenant, held)
	}
}

// unreadable is what is told of an error of reading what.
func unreadable(what string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // whoever asked has gone
	}
	if problem, ok := errors.AsType[*roxy.Problem](err); ok {
		return problem
	}
	return &roxy.Problem{Code: roxy.NotReady, Detail: "the " + what + " cannot be read now", RetryAfter: time.Second, Err: err}
}
