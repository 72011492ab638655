package disk

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// mutationOverhead is what a mutation writes beside what its author sent: keys, marks, the state around a patch. It only
// has to be about right: it bounds groups.
const mutationOverhead = 1 << 10

// Mutate commits mutations, as engine.Entities says. They are applied by the committer, which alone knows the state
// that the group before leaves.
func (e *Engine) Mutate(ctx context.Context, tenant string, mutations []engine.Mutation) ([]roxy.MutationResult, error) {
	if err := checkTenant(tenant); err != nil {
		return nil, fmt.Errorf("commit %d mutations: %w", len(mutations), err)
	}
	m := &mutating{tenant: tenant, mutations: slices.Clone(mutations), prints: make([][16]byte, len(mutations))}
	bytes := 0
	for i := range m.mutations {
		bytes += m.mutations[i].Size() + mutationOverhead
		if m.mutations[i].ID != "" {
			m.prints[i] = m.mutations[i].Fingerprint()
		}
	}
	_, err := e.submit(ctx, &call{tenant: tenant, done: make(chan result, 1), bytes: bytes, grows: true, do: m.run})
	if err == nil && m.refused == nil {
		return m.results, nil
	}
	if err == nil {
		err = m.refused
	}
	e.stats.refused(err)
	if _, ok := errors.AsType[*engine.Refusal](err); ok {
		return nil, err
	}
	if problem, ok := errors.AsType[*roxy.Problem](err); ok {
		return nil, problem
	}
	return nil, fmt.Errorf("commit %d mutations of %s: %w", len(mutations), tenant, err)
}

// mutating is one Mutate on the committer. What it makes is the caller's once the call was answered.
type mutating struct {
	tenant    string
	mutations []engine.Mutation
	prints    [][16]byte
	results   []roxy.MutationResult
	refused   *engine.Refusal
	first     map[string]int // where the ids of this call stand first
}

// staged is what one mutation of a call makes, before all of them are known to commit.
type staged struct {
	index   int
	state   *engine.State
	created bool
	event   roxy.Event
}

// run stages all mutations and writes what they make, or what refused one of them.
func (m *mutating) run(g *group) error {
	t, err := g.open(m.tenant)
	if err != nil {
		return err
	}
	if t.meta.epoch == "" {
		t.meta.epoch = newEpoch()
		g.touch(t)
	}
	m.results = make([]roxy.MutationResult, len(m.mutations))
	m.first = make(map[string]int)
	states := make(map[roxy.Topic]*engine.State)
	fresh := make([]staged, 0, len(m.mutations))
	for i := range m.mutations {
		mu := &m.mutations[i]
		done, err := m.repeated(g, i)
		if err != nil || m.refused != nil {
			return err
		}
		if done {
			continue
		}
		now := states[mu.Topic]
		if now == nil {
			if now, err = g.state(t, mu.Topic); err != nil {
				return err
			}
		}
		next, change, problem, err := apply(now, mu)
		if err != nil {
			return err
		}
		if problem != nil {
			m.refused = &engine.Refusal{Index: i, Problem: problem}
			return m.keep(g, i, roxy.MutationResult{Outcome: roxy.Refused, Topic: mu.Topic, Problem: problem})
		}
		states[mu.Topic] = &next
		fresh = append(fresh, staged{i, &next, !now.Exists(), roxy.Event{
			Topic: mu.Topic, Type: eventType(mu, now), Correlation: mu.Correlation, TraceParent: mu.TraceParent, By: mu.By, Change: change,
		}})
	}
	for i := range fresh {
		if err := m.write(g, t, &fresh[i]); err != nil {
			return err
		}
	}
	for i := range m.mutations {
		if first, ok := m.first[m.mutations[i].ID]; ok && first != i {
			m.results[i] = m.results[first]
			m.results[i].Duplicate = true
		}
	}
	return nil
}

// apply is engine.Apply for the committer, whom a mutation that finds a bug in it, or in the schema's, is not to take along:
// it would come again after each restart.
func apply(now *engine.State, m *engine.Mutation) (next engine.State, change *roxy.Change, problem *roxy.Problem, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("BUG: a mutation of %s cannot be applied: %v\n%s", m.Topic, r, debug.Stack())
		}
	}()
	next, change, problem = engine.Apply(now, m)
	return next, change, problem, nil
}

// repeated reports whether mutation i was decided before, and fills in its result. What was refused before is refused
// again.
func (m *mutating) repeated(g *group, i int) (bool, error) {
	mu := &m.mutations[i]
	if mu.ID == "" {
		return false, nil
	}
	if first, ok := m.first[mu.ID]; ok {
		if m.prints[first] != m.prints[i] {
			m.refused = &engine.Refusal{Index: i, Problem: engine.ReusedProblem()}
		}
		return true, nil
	}
	m.first[mu.ID] = i
	known, err := g.result(m.tenant, mu.By, mu.ID)
	if known == nil || err != nil {
		return false, err
	}
	var problem *roxy.Problem
	if m.results[i], problem = known.Answer(mu.ID, m.prints[i]); problem != nil {
		m.refused = &engine.Refusal{Index: i, Problem: problem, Stored: problem.Code != roxy.KeyReused}
	}
	return true, nil
}

// write puts the event, the state and the result of one mutation into the batch.
func (m *mutating) write(g *group, t *tenant, s *staged) error {
	g.touch(t)
	record := engine.AppendRecord(make([]byte, 0, recordBytes(&s.event)), &s.event)
	g.put(t, &s.event, record)
	s.state.Offset, s.state.Time = s.event.Offset, s.event.Time
	key := entityKey(t.name, s.state.Topic)
	if err := g.batch.Set(key, engine.AppendState(nil, s.state), nil); err != nil {
		return err
	}
	g.states[string(key)] = s.state
	if g.e.opts.Audit.Publishes {
		mu := &m.mutations[s.index]
		g.note(t, &roxy.AuditRow{
			Event: roxy.Cursor{Epoch: t.meta.epoch, Offset: s.event.Offset}.String(), Kind: roxy.AuditMutation, User: mu.By, Device: mu.Device,
			Topic: mu.Topic.String(), Type: s.event.Type, Correlation: mu.Correlation, Reason: string(mu.Op), Mutation: mu.ID, Version: s.state.Version,
		})
	}
	return m.keep(g, s.index, roxy.MutationResult{
		Outcome: roxy.Committed, Topic: s.state.Topic, Version: s.state.Version, Created: s.created,
		Cursor: roxy.Cursor{Epoch: t.meta.epoch, Offset: s.state.Offset},
	})
}

// keep notes the result of mutation i, durably when it has an ID.
func (m *mutating) keep(g *group, i int, r roxy.MutationResult) error {
	mu := &m.mutations[i]
	r.ID = mu.ID
	m.results[i] = r
	if mu.ID == "" {
		return nil
	}
	return g.keepResult(m.tenant, mu.By, &engine.Result{Print: m.prints[i], Kept: g.now, MutationResult: r})
}

// eventType returns the type of the event of a mutation of now.
func eventType(m *engine.Mutation, now *engine.State) string {
	switch {
	case m.Type != "":
		return m.Type
	case m.Op == roxy.Delete:
		return roxy.EntityDeleted
	case !now.Exists():
		return roxy.EntityCreated
	default:
		return roxy.EntityUpdated
	}
}
