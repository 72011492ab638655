package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
)

// Mutate commits mutations for by, all or none, in order, and returns when they are durable. It sets By on them and keeps
// none. Their devices hear what became of them by roxy:receipt. An error is a *roxy.Problem; for more than one mutation
// its Member begins with the index, as in [3].topic.
func (h *Hub) Mutate(ctx context.Context, by roxy.Identity, mutations []roxy.Mutation) ([]roxy.MutationResult, error) {
	n := len(mutations)
	if n == 0 || n > h.opts.MaxBatch {
		return nil, &roxy.Problem{Code: roxy.InvalidMutation, Detail: fmt.Sprintf("%d mutations, want 1–%d", n, h.opts.MaxBatch)}
	}
	views := h.views.Load()
	hidden := views.hiddenFrom(by.Roles)
	asked := make([]engine.Mutation, n)
	for i := range mutations {
		m := &mutations[i]
		m.By = by.User
		tracked := views.on(m.Topic)
		author := views.view(tracked.and(hidden))
		if err := h.mayWrite(by, m, author); err != nil {
			return nil, at(i, n, err)
		}
		asked[i] = engine.Mutation{
			Mutation: *m, Author: author, Parts: views.partsOf(tracked), Check: h.checkOf(m, views.paths(tracked.and(hidden))),
		}
	}
	results, err := h.mutate(ctx, by, asked)
	if err != nil {
		return nil, err
	}
	for i := range results {
		r := &results[i]
		h.receipt(by.Tenant, &asked[i].Mutation, r)
		if r.Duplicate {
			h.stats.duplicates.Add(1)
		} else {
			h.stats.mutations.Add(1)
		}
		if r.ID == "" {
			r.ID = r.Cursor.String()
		}
	}
	return results, nil
}

// mayWrite holds m against its own rules, the author's grant and what the author may not see.
func (h *Hub) mayWrite(by roxy.Identity, m *roxy.Mutation, author *document.Hidden) error {
	if err := m.Check(h.opts.MaxEventBytes); err != nil {
		return err
	}
	if !by.Grant.MayWrite(m.Topic) {
		return &roxy.Problem{Code: roxy.Forbidden, Member: "topic", Detail: fmt.Sprintf("topic %q lies outside what %q may write", m.Topic, by.User)}
	}
	if m.Data == nil {
		return nil
	}
	if at, refused := author.Refuses(m.Data); refused {
		member := map[roxy.Op]string{roxy.Put: "data", roxy.Patch: "patch"}[m.Op] + "." + at
		return &roxy.Problem{Code: roxy.Forbidden, Member: member, Detail: fmt.Sprintf("%s lies outside what %q may see, and so write", member, by.User)}
	}
	return nil
}

// checkOf returns what holds a result against the limit on its size and its schema, as the author sees it: an answer
// that depended on more would tell of it.
func (h *Hub) checkOf(m *roxy.Mutation, hidden []roxy.FieldPath) func([]byte) *roxy.Problem {
	member := "data"
	if m.Op == roxy.Patch {
		member = "patch"
	}
	rules := h.schemas.Load().Entity(m.Topic)
	limit := h.opts.MaxEventBytes
	return func(view []byte) *roxy.Problem {
		if len(view) > limit {
			return &roxy.Problem{Code: roxy.TooLarge, Member: member, Detail: fmt.Sprintf("the entity would take %d bytes, at most %d", len(view), limit)}
		}
		if rules == nil {
			return nil
		}
		if err := rules.ValidateView(view, hidden); err != nil {
			return violated(member, "the entity", err)
		}
		return nil
	}
}

// mutate hands mutations to the engine and turns its errors into what a caller may be told.
func (h *Hub) mutate(ctx context.Context, by roxy.Identity, asked []engine.Mutation) ([]roxy.MutationResult, error) {
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	began := time.Now()
	results, err := h.store.Mutate(ctx, by.Tenant, asked)
	if err == nil {
		h.stats.commitLatency.Observe(time.Since(began).Seconds())
		for i := range asked {
			h.stats.bytesIn.Add(uint64(asked[i].Size())) //nolint:gosec // never negative
		}
		return results, nil
	}
	refusal, ok := errors.AsType[*engine.Refusal](err)
	if !ok {
		return nil, h.failed(ctx, by.Tenant, len(asked), err)
	}
	m := &asked[refusal.Index]
	problem := *refusal.Problem
	h.stats.refused.add(string(problem.Code))
	if problem.Conflict != nil {
		c := *problem.Conflict
		if c.Current, err = h.current(ctx, by, m); err != nil {
			return nil, err
		}
		problem.Conflict = &c
	}
	if problem.Code != roxy.KeyReused {
		h.receipt(by.Tenant, &m.Mutation, &roxy.MutationResult{ID: m.ID, Outcome: outcomeOf(&problem), Topic: m.Topic, Problem: &problem})
	}
	return nil, at(refusal.Index, len(asked), &problem)
}

func outcomeOf(p *roxy.Problem) roxy.Outcome {
	if p.Code == roxy.WasCancelled {
		return roxy.Cancelled
	}
	return roxy.Refused
}

// current returns the entity that m ran into, in its author's view; nil for an author who may not read it.
func (h *Hub) current(ctx context.Context, by roxy.Identity, m *engine.Mutation) (*roxy.Entity, error) {
	if !by.Grant.MayRead(roxy.Pattern(m.Topic)) {
		return nil, nil //nolint:nilnil // nothing is told, and nothing went wrong
	}
	e, err := h.store.Entity(ctx, by.Tenant, m.Topic)
	if err != nil {
		return nil, h.failed(ctx, by.Tenant, 1, err)
	}
	if e.Exists() {
		e.Data = m.Author.Redact(e.Data)
	}
	return &e, nil
}

// receipt tells the device of a mutation, where it listens, what became of it.
func (h *Hub) receipt(tenant string, m *roxy.Mutation, r *roxy.MutationResult) {
	if m.Device == "" || m.ID == "" {
		return
	}
	var problem []byte
	if r.Problem != nil {
		problem = h.opts.Describe(r.Problem)
	}
	h.shardOf(tenant).control(tenant, m.By, m.Device, Control{Type: "roxy:receipt", Data: Receipt{
		ID: m.ID, Status: r.Outcome, Topic: m.Topic.String(), Version: r.Version, Cursor: cursorText(r.Cursor), Problem: problem,
	}})
}

// describe tells a problem in few words.
func describe(p *roxy.Problem) []byte {
	text, err := json.Marshal(struct {
		Code   roxy.Code `json:"code"`
		Member string    `json:"member,omitempty"`
		Detail string    `json:"detail,omitempty"`
	}{p.Code, p.Member, p.Detail})
	if err != nil {
		panic("BUG: a problem of strings does not marshal: " + err.Error())
	}
	return text
}

func cursorText(c roxy.Cursor) string {
	if c.Epoch == "" {
		return ""
	}
	return c.String()
}

// control gives a control event to the streams of a user, or of one device of theirs when it is named.
func (s *shard) control(tenantName, user, device string, control Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tenants[tenantName]; t != nil {
		s.give(t, user, device, control)
	}
}

// give is control with the lock held.
func (s *shard) give(t *tenant, user, device string, control Control) {
	now := time.Now()
	for _, st := range t.users[user] {
		if c := st.class; c != nil && (device == "" || st.sub.Device == device) {
			text := c.encoding.AppendControl(nil, control)
			c.give(st, &encoded{text: text}, &roxy.Event{Time: now})
		}
	}
}

// Results returns what became of by's mutations, one for each id.
func (h *Hub) Results(ctx context.Context, by roxy.Identity, ids []string) ([]roxy.MutationResult, error) {
	if n := len(ids); n == 0 || n > h.opts.MaxBatch {
		return nil, &roxy.Problem{Code: roxy.InvalidParameter, Member: "ids", Detail: fmt.Sprintf("%d ids, want 1–%d", n, h.opts.MaxBatch)}
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	results, err := h.store.Results(ctx, by.Tenant, by.User, ids)
	if err != nil {
		return nil, h.failed(ctx, by.Tenant, len(ids), err)
	}
	return results, nil
}

// Cancel makes sure that a mutation of by's that was not seen yet never commits, and returns what became of it.
func (h *Hub) Cancel(ctx context.Context, by roxy.Identity, id string) (roxy.MutationResult, error) {
	if err := roxy.CheckName(id); err != nil {
		return roxy.MutationResult{}, &roxy.Problem{Code: roxy.InvalidParameter, Member: "id", Detail: fmt.Sprintf("id: %v", err)}
	}
	if len(by.Grant.Write) == 0 { // a cancellation is kept as long as a mutation's result
		return roxy.MutationResult{}, &roxy.Problem{Code: roxy.Forbidden, Detail: fmt.Sprintf("%q may write nothing, and so has nothing to cancel", by.User)}
	}
	ctx, cancel := context.WithTimeout(ctx, h.opts.CommitTimeout)
	defer cancel()
	r, err := h.store.Cancel(ctx, by.Tenant, by.User, id)
	if err != nil {
		return roxy.MutationResult{}, h.failed(ctx, by.Tenant, 1, err)
	}
	return r, nil
}
