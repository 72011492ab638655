package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// retryAfter is what a refused publisher is told: a slow disk is mostly over it by then.
const retryAfter = time.Second

// call is one Commit or Trim on its way to the committer. The caller's goroutine encodes it, so that the one that
// everybody waits for has little left to do and never looks at the caller's memory.
type call struct {
	tenant  string
	events  []roxy.Event       // copies whose Data lies in records
	records [][]byte           // the events' records, not yet stamped
	prints  [][16]byte         // the fingerprints of events that have an ID
	audits  [][]byte           // what the audit tells of each event; nil for nothing
	bytes   int                // of all records
	do      func(*group) error // what to write when it is not a Commit; runs on the committer
	grows   bool               // do takes space, and is refused on a full disk
	then    func()             // runs on the committer once the group is durable, before anything else is written; nil for nothing

	state atomic.Int32
	done  chan result // of capacity 1
}

// The states of a call. The committer takes it or the caller abandons it, whoever is first.
const (
	waiting int32 = iota
	taken
	abandoned
)

type result struct {
	receipt engine.Receipt
	err     error
}

// Commit appends events to the tenant's log, as engine.Log says. Ephemeral has no meaning here: what comes is stored.
func (e *Engine) Commit(ctx context.Context, tenant string, events []roxy.Event) (engine.Receipt, error) {
	if err := checkTenant(tenant); err != nil {
		return engine.Receipt{}, fmt.Errorf("commit %d events: %w", len(events), err)
	}
	c := newCall(tenant, events)
	e.spellRows(c)
	receipt, err := e.submit(ctx, c)
	if err != nil {
		e.stats.refused(err)
		if problem, ok := errors.AsType[*roxy.Problem](err); ok {
			return engine.Receipt{}, problem
		}
		return engine.Receipt{}, fmt.Errorf("commit %d events of %s: %w", len(events), tenant, err)
	}
	return receipt, nil
}

// newCall copies and encodes what the committer will need of events.
func newCall(tenant string, events []roxy.Event) *call {
	c := &call{tenant: tenant, done: make(chan result, 1)}
	if len(events) == 0 {
		return c
	}
	size := 0
	for i := range events {
		size += recordBytes(&events[i])
	}
	c.events = slices.Clone(events)
	c.records = make([][]byte, len(events))
	c.prints = make([][16]byte, len(events))
	buf := make([]byte, 0, size)
	for i := range c.events {
		ev := &c.events[i]
		start := len(buf)
		buf = engine.AppendRecord(buf, ev)
		c.records[i] = buf[start:len(buf):len(buf)]
		if ev.ID != "" {
			c.prints[i] = ev.Fingerprint()
		}
		ev.Data = engine.RecordData(c.records[i], len(ev.Data))
		ev.To = roxy.Audience{Roles: slices.Clone(ev.To.Roles), Users: slices.Clone(ev.To.Users)}
		ev.Ephemeral = false
	}
	c.bytes = len(buf)
	return c
}

// recordBytes returns a little more than the record of e will take.
func recordBytes(e *roxy.Event) int {
	return 64 + e.Size() + len(e.By) + 2*(len(e.To.Roles)+len(e.To.Users))
}

// submit hands c to the committer and waits for its answer.
func (e *Engine) submit(ctx context.Context, c *call) (engine.Receipt, error) {
	if ctx.Err() != nil {
		return engine.Receipt{}, notTaken(ctx)
	}
	select {
	case <-e.closing:
		return engine.Receipt{}, engine.ErrClosed
	case <-ctx.Done():
		return engine.Receipt{}, notTaken(ctx)
	case e.queue <- c:
	}
	select {
	case r := <-c.done:
		return r.receipt, r.err
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, abandoned) {
			return engine.Receipt{}, notTaken(ctx)
		}
		return engine.Receipt{}, fmt.Errorf("its outcome is unknown: %w", ctx.Err())
	case <-e.stopped:
		select {
		case r := <-c.done: // it was answered before the committer ended
			return r.receipt, r.err
		default:
			return engine.Receipt{}, engine.ErrClosed
		}
	}
}

// notTaken is the answer to a call whose context ended in the queue: nothing of it was written.
func notTaken(ctx context.Context) error {
	err := ctx.Err()
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &roxy.Problem{
		Code: roxy.Overloaded, RetryAfter: retryAfter, Err: err,
		Detail: "the log takes more time than the publish has; nothing was written",
	}
}

// keyReused refuses events[i] of a call of n.
func keyReused(i, n int) error {
	member := "id"
	if n > 1 {
		member = fmt.Sprintf("[%d].id", i)
	}
	return &roxy.Problem{
		Code: roxy.KeyReused, Member: member,
		Detail: "the idempotency key was used for another event before",
	}
}
