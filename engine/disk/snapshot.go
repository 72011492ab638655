package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Entity returns what lives at topic, as engine.Entities says. Pebble shows a write before it is durable: whoever meets
// one waits until it is.
func (e *Engine) Entity(ctx context.Context, tenant string, topic roxy.Topic) (roxy.Entity, error) {
	t, err := e.load(tenant)
	if err != nil {
		return roxy.Entity{}, fmt.Errorf("entity %s of %s: %w", topic, tenant, err)
	}
	if t.busy.Load() {
		return roxy.Entity{}, restoringProblem(tenant)
	}
	entity, err := e.readEntity(t, topic)
	if err == nil {
		err = e.awaitDurable(ctx, t, entity.Offset)
	}
	if err != nil {
		return roxy.Entity{}, fmt.Errorf("entity %s of %s: %w", topic, tenant, err)
	}
	return entity, nil
}

func (e *Engine) readEntity(t *tenant, topic roxy.Topic) (roxy.Entity, error) {
	leave, err := e.enter()
	if err != nil {
		return roxy.Entity{}, err
	}
	defer leave()
	value, closer, err := e.db.Get(entityKey(t.name, topic))
	if errors.Is(err, pebble.ErrNotFound) {
		return roxy.Entity{Topic: topic}, nil
	}
	if err != nil {
		return roxy.Entity{}, storeError(err)
	}
	entity, err := engine.ReadEntity(topic, value)
	if cerr := closer.Close(); err == nil {
		err = storeError(cerr)
	}
	return entity, err
}

// awaitDurable returns once the tenant's log is durable up to offset.
func (e *Engine) awaitDurable(ctx context.Context, t *tenant, offset uint64) error {
	for {
		moved := e.tails.next()
		if b := t.durable.Load(); offset == 0 || b != nil && b.Head >= offset {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.broken:
			return e.failed()
		case <-e.stopped:
			return engine.ErrClosed
		}
	}
}

// Snapshot returns all entities at one position, as engine.Entities says. The committer takes it between two groups,
// when all that can be read is durable.
func (e *Engine) Snapshot(ctx context.Context, tenant string) (engine.Snapshot, error) {
	t, err := e.load(tenant)
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", tenant, err)
	}
	if _, err := e.Bounds(ctx, tenant); err != nil { // it has an epoch from now on
		return nil, fmt.Errorf("snapshot of %s: %w", tenant, err)
	}
	s := &snapshot{e: e, tenant: tenant}
	c := &call{tenant: tenant, done: make(chan result, 1), do: func(g *group) error { _, err := g.open(tenant); return err }, then: func() { s.take(t) }}
	if _, err := e.submit(ctx, c); err != nil {
		s.Close() // it may be taken yet
		return nil, fmt.Errorf("snapshot of %s: %w", tenant, err)
	}
	return s, nil
}

// snapshotChunk is how many entities are read at once. Between two chunks nothing of the store is held but the snapshot.
const snapshotChunk = 256

// snapshot is a Pebble snapshot and where it stands.
type snapshot struct {
	e      *Engine
	tenant string
	bounds engine.Bounds

	mu     sync.RWMutex // held for reading while db is in use
	db     *pebble.Snapshot
	closed bool
}

// take is called by the committer.
func (s *snapshot) take(t *tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed { // nobody waits for it any more
		return
	}
	s.bounds, s.db = *t.durable.Load(), s.e.db.NewSnapshot()
}

// Bounds tells the position.
func (s *snapshot) Bounds() engine.Bounds { return s.bounds }

// Close lets go of the snapshot.
func (s *snapshot) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.db == nil {
		return
	}
	if err := s.db.Close(); err != nil {
		s.e.log.Error("close a snapshot", "err", err)
	}
	s.db = nil
}

// Entities yields what matches patterns, as engine.Snapshot says.
func (s *snapshot) Entities(ctx context.Context, patterns []roxy.Pattern, after roxy.Topic) iter.Seq2[roxy.Entity, error] {
	return func(yield func(roxy.Entity, error) bool) {
		read := func(topic roxy.Topic, value []byte) (roxy.Entity, bool, error) {
			if !slices.ContainsFunc(patterns, func(p roxy.Pattern) bool { return p.Matches(topic) }) {
				return roxy.Entity{}, false, nil
			}
			entity, err := engine.ReadEntity(topic, value)
			return entity, entity.Exists(), err
		}
		for _, prefix := range prefixes(patterns) {
			if more := scan(ctx, s, prefix, after, read, yield); !more {
				return
			}
		}
	}
}

// States yields everything, as engine.Snapshot says.
func (s *snapshot) States(ctx context.Context, after roxy.Topic) iter.Seq2[engine.State, error] {
	return func(yield func(engine.State, error) bool) {
		scan(ctx, s, "", after, func(topic roxy.Topic, value []byte) (engine.State, bool, error) {
			state, err := engine.ReadState(topic, value)
			return state, true, err
		}, yield)
	}
}

// prefixes returns with what topics begin that can match patterns: sorted, none the beginning of another.
func prefixes(patterns []roxy.Pattern) []string {
	all := make([]string, len(patterns))
	for i, p := range patterns {
		path := strings.TrimSuffix(p.String(), "/**") // which stands for no segment, too
		all[i], _, _ = strings.Cut(path, "*")
	}
	slices.Sort(all)
	var least []string
	for _, prefix := range all {
		if n := len(least); n == 0 || !strings.HasPrefix(prefix, least[n-1]) {
			least = append(least, prefix)
		}
	}
	return least
}

// scan yields what read makes of the records of topics with the prefix, behind after, chunk by chunk. It reports whether
// yield wants more.
func scan[T any](
	ctx context.Context, s *snapshot, prefix string, after roxy.Topic,
	read func(roxy.Topic, []byte) (T, bool, error), yield func(T, error) bool,
) (more bool) {
	var none T
	base := entityPrefix(s.tenant)
	from := append(bytes.Clone(base), prefix...)
	to := upper(from)
	if at := append(bytes.Clone(base), after.String()...); (after != roxy.Topic{}) && bytes.Compare(from, at) <= 0 {
		from = append(at, 0)
	}
	var chunk []T
	for from != nil && bytes.Compare(from, to) < 0 {
		var err error
		chunk, from, err = readChunk(ctx, s, from, to, len(base), chunk[:0], read)
		for i := range chunk {
			if !yield(chunk[i], nil) {
				return false
			}
		}
		if err != nil {
			yield(none, fmt.Errorf("read the entities of %s: %w", s.tenant, err))
			return false
		}
	}
	return true
}

// readChunk reads one chunk, and returns from where the next one begins, nil at the end.
func readChunk[T any](
	ctx context.Context, s *snapshot, from, to []byte, base int, chunk []T, read func(roxy.Topic, []byte) (T, bool, error),
) (_ []T, next []byte, err error) {
	if ctx.Err() != nil {
		return chunk, nil, context.Cause(ctx)
	}
	leave, err := s.e.enter()
	if err != nil {
		return chunk, nil, err
	}
	defer leave()
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.db == nil {
		return chunk, nil, engine.ErrClosed
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return chunk, nil, storeError(err)
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = storeError(cerr)
		}
	}()
	looked := 0
	for ok := it.First(); ok; ok = it.Next() {
		if looked++; looked > snapshotChunk*16 || len(chunk) == snapshotChunk {
			return chunk, bytes.Clone(it.Key()), nil
		}
		topic, err := roxy.ParseTopic(string(it.Key()[base:]))
		if err != nil {
			return chunk, nil, fmt.Errorf("%w: %w", engine.ErrCorrupt, err)
		}
		if v, wanted, err := read(topic, it.Value()); err != nil {
			return chunk, nil, err
		} else if wanted {
			chunk = append(chunk, v)
		}
	}
	return chunk, nil, storeError(it.Error())
}

// upper returns the first key behind all that begin with prefix, which ends in no 0xff: it is a tenant's name, a zero and the beginning of a topic.
func upper(prefix []byte) []byte {
	out := bytes.Clone(prefix)
	out[len(out)-1]++
	return out
}
