package hub

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// A storm of streams that come back resumes at much the same place. What one of them reads of the log is kept for a
// moment, and who wants the same meanwhile waits for that or is given it.
const (
	chunkEvents = 256 // of one tenant, from a multiple of it on
	chunkLife   = 2 * time.Second
	chunksKept  = 16 << 20 // bytes of payload; beyond it a chunk is for those alone who wait for it
)

// chunks reads logs, each stretch once for all who want it at the same time.
type chunks struct {
	log    engine.Log
	read   atomic.Uint64
	shared atomic.Uint64

	mu    sync.Mutex
	known map[chunkKey]*chunk
	bytes int // of those known
}

type chunkKey struct {
	tenant string
	index  uint64
}

// chunk is the events of one stretch, up to an offset. All but until is there when ready is closed.
type chunk struct {
	ready  chan struct{}
	until  uint64
	events []roxy.Event
	err    error
	size   int
}

func newChunks(log engine.Log) *chunks { return &chunks{log: log, known: make(map[chunkKey]*chunk)} }

// stretch is a part of a log, up to until. Its events are shared: not to be changed.
type stretch struct {
	events []roxy.Event
	until  uint64
	chunk  *chunk // nil for what was read for this caller alone
}

// stretches yields what query selects, as engine.Log.Read, one stretch after the other. Query.Until is required. read counts
// the events that were read for this caller.
func (c *chunks) stretches(ctx context.Context, tenant string, query engine.Query, read *int) iter.Seq2[stretch, error] {
	return func(yield func(stretch, error) bool) {
		for len(query.Topics) == 0 && query.After < query.Until {
			ch, err := c.get(ctx, chunkKey{tenant, query.After / chunkEvents}, query.Until, read)
			if errors.Is(err, engine.ErrTrimmed) { // of the stretch, perhaps not of what is wanted of it
				break
			}
			if err != nil {
				yield(stretch{}, err)
				return
			}
			until := min(ch.until, query.Until)
			if !yield(stretch{between(ch.events, query.After, until), until, ch}, nil) {
				return
			}
			query.After = until
		}
		if query.After < query.Until {
			c.alone(ctx, tenant, query, read, yield)
		}
	}
}

// alone is stretches for what nobody shares.
func (c *chunks) alone(ctx context.Context, tenant string, query engine.Query, read *int, yield func(stretch, error) bool) {
	var own []roxy.Event
	size := 0
	for e, err := range c.log.Read(ctx, tenant, query) {
		if err != nil {
			yield(stretch{}, err)
			return
		}
		*read++
		own = append(own, e)
		if size += e.Size(); size < replayWrite && len(own) < chunkEvents {
			continue
		}
		if !yield(stretch{events: own, until: e.Offset}, nil) {
			return
		}
		own, size = own[:0], 0
	}
	yield(stretch{events: own, until: query.Until}, nil)
}

// between returns the events behind after up to until.
func between(events []roxy.Event, after, until uint64) []roxy.Event {
	behind := func(offset uint64) int {
		return sort.Search(len(events), func(i int) bool { return events[i].Offset > offset })
	}
	return events[behind(after):behind(until)]
}

// get returns a stretch at least up to until, or to its end.
func (c *chunks) get(ctx context.Context, key chunkKey, until uint64, read *int) (*chunk, error) {
	until = min(until, (key.index+1)*chunkEvents)
	c.mu.Lock()
	ch := c.known[key]
	if ch != nil && ch.until >= until {
		c.mu.Unlock()
		c.shared.Add(1)
	} else {
		fresh := &chunk{ready: make(chan struct{}), until: until}
		c.forget(key, ch)
		c.known[key] = fresh
		c.mu.Unlock()
		*read += c.fill(context.WithoutCancel(ctx), key, fresh, ch) // others wait for it
		ch = fresh
	}
	select {
	case <-ch.ready:
		return ch, ch.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// fill reads a stretch behind what is known of it already, and returns how many events it read.
func (c *chunks) fill(ctx context.Context, key chunkKey, ch, before *chunk) (read int) {
	after := key.index * chunkEvents
	if before != nil && before.done() {
		after, ch.events = before.until, slices.Clip(before.events)
	}
	c.read.Add(1)
	for e, err := range c.log.Read(ctx, key.tenant, engine.Query{After: after, Until: ch.until}) {
		if err != nil {
			ch.err = err
			break
		}
		ch.events = append(ch.events, e)
		read++
	}
	for i := range ch.events {
		ch.size += ch.events[i].Size()
	}
	close(ch.ready)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[key] != ch {
		return read // one that holds more took its place
	}
	if c.bytes += ch.size; ch.err != nil || c.bytes > chunksKept {
		c.forget(key, ch)
		return read
	}
	time.AfterFunc(chunkLife, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forget(key, ch)
	})
	return read
}

// forget lets go of ch when it is what is known.
func (c *chunks) forget(key chunkKey, ch *chunk) {
	if ch == nil || c.known[key] != ch {
		return
	}
	delete(c.known, key)
	if ch.done() {
		c.bytes -= ch.size
	}
}

// done reports whether the stretch was read, without an error.
func (ch *chunk) done() bool {
	select {
	case <-ch.ready:
		return ch.err == nil
	default:
		return false
	}
}
