package disk

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/roxyhub/roxy/engine"
)

// maxTailLag is how many bytes of events the slowest tail may be behind; then commits wait for it.
const maxTailLag = 32 << 20

// tails is what the committer shows to its tails: a list of groups to which it appends. Each tail holds its own place
// in it, so that the list is freed behind the slowest one and a group is never copied.
type tails struct {
	mu    sync.Mutex
	open  map[*tail]struct{}
	last  *node // under mu
	moved chan struct{}
}

// node is one published group. Its next is set before ready is closed.
type node struct {
	committed []engine.Committed
	total     uint64 // bytes of all groups up to this one
	next      *node
	ready     chan struct{}
}

func (ts *tails) init() {
	ts.open = make(map[*tail]struct{})
	ts.last = &node{ready: make(chan struct{})}
	ts.moved = make(chan struct{}, 1)
}

// publish is called by the committer only.
func (ts *tails) publish(committed []engine.Committed, bytes uint64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	n := &node{committed: committed, total: ts.last.total + bytes, ready: make(chan struct{})}
	ts.last.next = n
	close(ts.last.ready)
	ts.last = n
}

// next returns what is closed when the next group is published.
func (ts *tails) next() <-chan struct{} {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.last.ready
}

// lag returns how far the slowest tail is behind.
func (ts *tails) lag() uint64 {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	var lag uint64
	for t := range ts.open {
		lag = max(lag, ts.last.total-t.taken.Load())
	}
	return lag
}

// waitForRoom returns true when no tail is too far behind, false when stop closes first.
func (ts *tails) waitForRoom(stop <-chan struct{}) bool {
	for ts.lag() > maxTailLag {
		select {
		case <-ts.moved:
		case <-stop:
			return false
		}
	}
	return true
}

// move wakes a committer that waits for room.
func (ts *tails) move() {
	select {
	case ts.moved <- struct{}{}:
	default:
	}
}

// close ends every tail and those still to be opened.
func (ts *tails) close() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for t := range ts.open {
		t.end()
	}
	ts.open = nil
}

// tail is one reader of the list.
type tail struct {
	of     *tails
	at     *node         // what Next returned last
	taken  atomic.Uint64 // its total
	closed chan struct{}
	end    func() // closes closed, once
}

// Tail returns a reader of all that is committed from now on, as engine.Log says.
func (e *Engine) Tail() engine.Tail {
	t := &tail{of: &e.tails, closed: make(chan struct{})}
	t.end = sync.OnceFunc(func() { close(t.closed) })
	e.tails.mu.Lock()
	defer e.tails.mu.Unlock()
	t.at = e.tails.last
	t.taken.Store(t.at.total)
	if e.tails.open == nil { // the engine is closed
		t.end()
		return t
	}
	e.tails.open[t] = struct{}{}
	return t
}

// Next returns the next group, as engine.Tail says.
func (t *tail) Next(ctx context.Context) ([]engine.Committed, error) {
	select {
	case <-t.closed:
		return nil, engine.ErrClosed
	default:
	}
	select {
	case <-t.at.ready:
		t.at = t.at.next
		t.taken.Store(t.at.total)
		t.of.move()
		return t.at.committed, nil
	case <-t.closed:
		return nil, engine.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close lets go of the tail.
func (t *tail) Close() {
	t.end()
	t.of.mu.Lock()
	delete(t.of.open, t)
	t.of.mu.Unlock()
	t.of.move()
}
