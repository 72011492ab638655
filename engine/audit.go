package engine

import (
	"context"
	"iter"
	"time"

	"github.com/roxyhub/roxy"
)

// Audit is each tenant's record of who did what: rows that are appended, forgotten from the oldest on when they are too
// old or too many, and never changed. Their hashes form a chain (roxy.AuditHash). The hub's own tenants have none.
// Implementations are safe for concurrent use and pass enginetest.Audit.
type Audit interface {
	// Note appends rows to the tenant's trail as one unit, in order, and returns when they survive a power cut. It stamps
	// Seq and Time, on copies. For one of the hub's own tenants it does nothing.
	// Errors: roxy.ErrOverloaded, ErrClosed, ErrCorrupt, the context's (the outcome is unknown then).
	Note(ctx context.Context, tenant string, rows []roxy.AuditRow) error
	// Audited yields the rows that query selects, in the order of the trail or backwards, none that a crash could still
	// take back. What it yields is the caller's to keep. A query that begins before the oldest retained row begins with
	// that. An error ends it: ErrCorrupt, ErrClosed, the context's.
	Audited(ctx context.Context, tenant string, query AuditQuery) iter.Seq2[roxy.AuditEntry, error]
	// AuditBounds tells what the tenant's trail holds.
	AuditBounds(ctx context.Context, tenant string) (AuditBounds, error)
}

// AuditQuery selects rows of one tenant's trail: those that satisfy all that is not zero.
type AuditQuery struct {
	After     uint64    // only rows behind this one
	Before    uint64    // and before this one
	From      time.Time // noted at this time or later
	To        time.Time // and before this one
	Backwards bool      // the newest first

	Kinds                            []roxy.AuditKind // one of them
	User, Device, Correlation, Event string
	Topic                            roxy.Pattern
}

// Whole reports whether the query leaves nothing out between the first and the last row that it selects, so that the
// rows' hashes can be verified.
func (q *AuditQuery) Whole() bool {
	return !q.Backwards && len(q.Kinds) == 0 && q.User == "" && q.Device == "" && q.Correlation == "" && q.Event == "" && q.Topic == roxy.Pattern{}
}

// AuditBounds is the extent of a tenant's trail.
type AuditBounds struct {
	First  uint64         // the oldest retained row; Head+1 when nothing is
	Head   uint64         // the newest durable one; 0 when there never was one
	Before roxy.AuditHash // of the row before First, or roxy.AuditGenesis
	Hash   roxy.AuditHash // of Head
}
