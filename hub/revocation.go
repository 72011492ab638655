package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Revocations travel as events in the log of a tenant of the hub's own: durable, and heard by every node through the
// same tail as everything else. The engine keeps a system tenant's log for 90 days; no token should live longer.
const (
	revocationTenant = "$revocations"
	revocationType   = "revocation"
)

// revocations is the set in force.
type revocations struct {
	mu     sync.RWMutex
	tokens map[tokenKey]struct{}
	users  map[userKey]time.Time // tokens issued before it are withdrawn
}

type (
	tokenKey struct{ tenant, id string }
	userKey  struct{ tenant, user string }
)

// Revoke withdraws tokens: it returns when the revocation is durable. Live connections end within a second, on every
// node. Errors: InvalidParameter naming the member, and those of Publish.
func (h *Hub) Revoke(ctx context.Context, r roxy.Revocation) error {
	switch {
	case (r.TokenID == "") == (r.User == ""):
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "jti", Detail: "name either jti, or user and before"}
	case r.User != "" && r.Before.IsZero():
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "before", Detail: "before is required with user: tokens issued before it are withdrawn"}
	case r.User == "" && !r.Before.IsZero():
		return &roxy.Problem{Code: roxy.InvalidParameter, Member: "before", Detail: "before goes with user, not with jti"}
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("hub: encode a revocation: %w", err)
	}
	topic, err := roxy.ParseTopic("roxy/revocations")
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	if _, err := h.commit(ctx, revocationTenant, []roxy.Event{{Topic: topic, Type: revocationType, Data: data}}); err != nil {
		return err
	}
	h.revocations.add(r) // at once here, without waiting for the dispatch
	h.endWhere(Revoked, func(_ []roxy.Pattern, token roxy.Identity) bool { return r.Matches(token) })
	return nil
}

// Revoked reports whether the token behind id was withdrawn.
func (h *Hub) Revoked(id roxy.Identity) bool {
	h.revocations.mu.RLock()
	defer h.revocations.mu.RUnlock()
	if id.TokenID != "" {
		if _, ok := h.revocations.tokens[tokenKey{id.Tenant, id.TokenID}]; ok {
			return true
		}
	}
	before, ok := h.revocations.users[userKey{id.Tenant, id.User}]
	return ok && id.IssuedAt.Before(before)
}

func (s *revocations) add(r roxy.Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.TokenID != "" {
		s.tokens[tokenKey{r.Tenant, r.TokenID}] = struct{}{}
		return
	}
	if k := (userKey{r.Tenant, r.User}); r.Before.After(s.users[k]) {
		s.users[k] = r.Before
	}
}

// loadRevocations reads the set from its log.
func (h *Hub) loadRevocations(ctx context.Context) error {
	h.revocations = revocations{tokens: make(map[tokenKey]struct{}), users: make(map[userKey]time.Time)}
	bounds, err := h.store.Bounds(ctx, revocationTenant)
	if err != nil {
		return err
	}
	for e, err := range h.store.Read(ctx, revocationTenant, engine.Query{After: bounds.First - 1}) {
		if err != nil {
			return err
		}
		h.takeRevocation(&e)
	}
	return nil
}

// takeRevocation applies a revocation that came out of the log.
func (h *Hub) takeRevocation(e *roxy.Event) {
	var r roxy.Revocation
	if err := json.Unmarshal(e.Data, &r); err != nil {
		h.logger.Error("a stored revocation cannot be read", slog.Uint64("offset", e.Offset), slog.Any("error", err))
		return
	}
	h.revocations.add(r)
	h.endWhere(Revoked, func(_ []roxy.Pattern, token roxy.Identity) bool { return r.Matches(token) })
}
