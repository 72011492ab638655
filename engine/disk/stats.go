package disk

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/measure"
)

// Stats is what an Engine did since it was opened, and how it stands.
type Stats struct {
	Commits        uint64 // calls answered without an error
	Groups         uint64 // syncs that answered them
	Events         uint64 // appended; duplicates are not
	Bytes          uint64 // of their records
	Trims          uint64 // range deletes by retention or Trim
	Trimmed        uint64 // events they deleted
	Records        uint64 // read back
	Audited        uint64 // audit rows that were written
	AuditBytes     uint64 // of them, as they are stored
	AuditForgotten uint64 // rows that retention deleted
	Refusals       Refusals
	GroupCalls     measure.Snapshot // calls for each sync
	Sync           measure.Snapshot // seconds that writing and syncing a group took
	Queue          int              // calls that wait for the committer
	TailLag        uint64           // bytes that the slowest tail is behind
	Tenants        int              // met since the start
	FreeBytes      uint64           // on the disk; 0 when the file system does not say
	Failed         bool             // the store cannot be written any more
}

// Refusals counts the calls that were not committed, by reason.
type Refusals struct {
	Full       uint64 // the disk's low-water mark
	Overloaded uint64 // not taken from the queue in time
	KeyReused  uint64
	Canceled   uint64 // the caller's context ended first
	Other      uint64
}

type counters struct {
	commits, groups, events, bytes                atomic.Uint64
	trims, trimmed, records                       atomic.Uint64
	audited, auditBytes, auditForgotten           atomic.Uint64
	full, overloaded, keyReused, canceled, others atomic.Uint64
	groupCalls, sync                              *measure.Histogram
}

func newCounters() counters {
	return counters{
		groupCalls: measure.NewExponential(1, 2, 13),
		sync:       measure.NewExponential(50e-6, 2, 18), // 50 µs to 6.5 s
	}
}

// synced counts a group that became durable.
func (c *counters) synced(calls int, events, bytes uint64, took time.Duration) {
	c.groups.Add(1)
	c.events.Add(events)
	c.bytes.Add(bytes)
	c.groupCalls.Observe(float64(calls))
	c.sync.Observe(took.Seconds())
}

// refused counts a call that was not committed.
func (c *counters) refused(err error) {
	switch {
	case errors.Is(err, errFull):
		c.full.Add(1)
	case errors.Is(err, roxy.ErrOverloaded):
		c.overloaded.Add(1)
	case errors.Is(err, roxy.ErrKeyReused):
		c.keyReused.Add(1)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		c.canceled.Add(1)
	default:
		c.others.Add(1)
	}
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	c := &e.stats
	free, _ := e.space.free()
	return Stats{
		Commits: c.commits.Load(), Groups: c.groups.Load(), Events: c.events.Load(), Bytes: c.bytes.Load(),
		Trims: c.trims.Load(), Trimmed: c.trimmed.Load(), Records: c.records.Load(),
		Audited: c.audited.Load(), AuditBytes: c.auditBytes.Load(), AuditForgotten: c.auditForgotten.Load(),
		Refusals: Refusals{
			Full: c.full.Load(), Overloaded: c.overloaded.Load(), KeyReused: c.keyReused.Load(),
			Canceled: c.canceled.Load(), Other: c.others.Load(),
		},
		GroupCalls: c.groupCalls.Snapshot(), Sync: c.sync.Snapshot(),
		Queue: len(e.queue), TailLag: e.tails.lag(), Tenants: e.tenants.count(), FreeBytes: free, Failed: e.failed() != nil,
	}
}
