package disk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// result returns what is kept of a mutation, nil when it was never seen.
func (g *group) result(tenant, by, id string) (*engine.Result, error) {
	g.scope = appendScope(g.scope[:0], tenant, by, id)
	if r, ok := g.results[string(g.scope)]; ok {
		return r, nil
	}
	var r engine.Result
	found, err := g.seek(keyResult, g.scope, func(value []byte) (at time.Time, err error) {
		r, err = engine.ReadResult(value)
		return r.Kept, err
	})
	if !found || err != nil {
		return nil, err
	}
	r.ID = id
	return &r, nil
}

// keepResult puts a result into the batch.
func (g *group) keepResult(tenant, by string, r *engine.Result) error {
	g.scope = appendScope(g.scope[:0], tenant, by, r.ID)
	g.results[string(g.scope)] = r
	return g.batch.Set(resultKey(g.e.bucket(g.now), g.scope), engine.AppendResult(nil, r), nil)
}

// Cancel cancels a mutation that was not seen yet, as engine.Mutations says.
func (e *Engine) Cancel(ctx context.Context, tenant, by, id string) (roxy.MutationResult, error) {
	if err := checkTenant(tenant); err != nil {
		return roxy.MutationResult{}, fmt.Errorf("cancel a mutation: %w", err)
	}
	var out roxy.MutationResult
	c := &call{tenant: tenant, done: make(chan result, 1), bytes: mutationOverhead, grows: true}
	c.do = func(g *group) error {
		t, err := g.open(tenant)
		if err != nil {
			return err
		}
		known, err := g.result(tenant, by, id)
		if err != nil {
			return err
		}
		if known == nil {
			known = &engine.Result{Kept: g.now, MutationResult: roxy.MutationResult{ID: id, Outcome: roxy.Cancelled, Problem: engine.CancelledProblem()}}
			if err = g.keepResult(tenant, by, known); err == nil && g.e.opts.Audit.Publishes {
				g.note(t, &roxy.AuditRow{Kind: roxy.AuditCancellation, User: by, Mutation: id})
			}
		}
		out = known.MutationResult
		return err
	}
	if _, err := e.submit(ctx, c); err != nil {
		if problem, ok := errors.AsType[*roxy.Problem](err); ok {
			return roxy.MutationResult{}, problem
		}
		return roxy.MutationResult{}, fmt.Errorf("cancel a mutation of %s: %w", tenant, err)
	}
	return out, nil
}

// Results returns what became of mutations, as engine.Mutations says. They are read here, so that nobody waits for it, and
// told when the committer has passed: then what was read is durable.
func (e *Engine) Results(ctx context.Context, tenant, by string, ids []string) ([]roxy.MutationResult, error) {
	if err := checkTenant(tenant); err != nil {
		return nil, fmt.Errorf("results of mutations: %w", err)
	}
	results, err := e.readResults(tenant, by, ids)
	if err == nil {
		_, err = e.submit(ctx, &call{tenant: tenant, done: make(chan result, 1), do: func(g *group) error {
			_, err := g.open(tenant)
			return err
		}})
	}
	if err != nil {
		if problem, ok := errors.AsType[*roxy.Problem](err); ok {
			return nil, problem
		}
		return nil, fmt.Errorf("results of %d mutations of %s: %w", len(ids), tenant, err)
	}
	return results, nil
}

func (e *Engine) readResults(tenant, by string, ids []string) (results []roxy.MutationResult, err error) {
	leave, err := e.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	it, err := e.kept()
	if err != nil {
		return nil, err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	now := e.opts.now()
	var scope []byte
	for _, id := range ids {
		var r engine.Result
		scope = appendScope(scope[:0], tenant, by, id)
		found, err := e.seek(it, now, keyResult, scope, func(value []byte) (at time.Time, err error) {
			r, err = engine.ReadResult(value)
			return r.Kept, err
		})
		if err != nil {
			return nil, err
		}
		if !found {
			r.Outcome = roxy.Unknown
		}
		r.ID = id
		results = append(results, r.MutationResult)
	}
	return results, nil
}

// maxStates bounds the states that the committer remembers, in bytes of their data and marks.
const maxStates = 32 << 20

// markBytes is about what a mark takes in memory.
const markBytes = 96

// stateCache is what the committer remembers of entities that were changed lately, all of them durable.
type stateCache struct {
	byKey map[string]*engine.State
	bytes int
}

func (c *stateCache) put(states map[string]*engine.State) {
	for key, s := range states {
		if c.bytes > maxStates || c.byKey == nil { // what is in use comes back with its next change
			c.byKey, c.bytes = make(map[string]*engine.State), 0
		}
		c.bytes += len(key) + len(s.Data) + markBytes*(len(s.Marks)+2) // what it replaces is counted until then
		c.byKey[key] = s
	}
}

// state returns the entity at topic as this group has made it so far. It is not to be changed.
func (g *group) state(t *tenant, topic roxy.Topic) (*engine.State, error) {
	key := entityKey(t.name, topic)
	if s, ok := g.states[string(key)]; ok {
		return s, nil
	}
	if s, ok := g.e.states.byKey[string(key)]; ok {
		return s, nil
	}
	value, closer, err := g.e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return &engine.State{Entity: roxy.Entity{Topic: topic}}, nil
	}
	if err != nil {
		return nil, storeError(err)
	}
	s, err := engine.ReadState(topic, value)
	if cerr := closer.Close(); err == nil {
		err = storeError(cerr)
	}
	return &s, err
}
