// Package engine declares what the hub asks of a store: the roles, each of one to four methods. An engine is a folder
// below this one that passes the suites of enginetest; a consumer takes the role it needs.
package engine

import (
	"context"
	"errors"
	"iter"

	"github.com/roxyhub/roxy"
)

// Errors of every engine. A full disk or a queue that does not empty in time is roxy.ErrOverloaded.
var (
	// ErrTrimmed says that events after the asked position were deleted by retention.
	ErrTrimmed = errors.New("engine: events after this position are no longer retained")
	// ErrCorrupt says that stored bytes are not what was written. Nothing of them is served.
	ErrCorrupt = errors.New("engine: stored data is corrupt")
	// ErrClosed says that the engine was closed.
	ErrClosed = errors.New("engine: closed")
)

// Log is each tenant's totally ordered record. Offsets begin at 1 and have no holes. Implementations are safe for
// concurrent use and pass enginetest.Log.
type Log interface {
	// Commit appends events to the tenant's log as one unit, in order. When it returns nil they survive a power cut;
	// after a context error the outcome is unknown and the caller repeats it with the same keys. An event whose ID the
	// same publisher (By) used within the last 24 h is not appended again: its receipt is the first one's, marked
	// Duplicate. The engine stamps Offset and Time; it neither keeps nor changes the caller's events.
	// Errors: roxy.ErrOverloaded, roxy.ErrKeyReused (same ID, other Fingerprint; nothing is appended), ErrClosed,
	// ErrCorrupt, the context's.
	Commit(ctx context.Context, tenant string, events []roxy.Event) (Receipt, error)
	// Read yields the events that query selects, in log order, none that a crash could still take back. It costs at
	// worst the events since query.After, and with query.Topics only what it returns. What it yields is the caller's
	// to keep. An error ends it: ErrTrimmed (also when retention overtakes the reader), ErrCorrupt, ErrClosed, the
	// context's.
	Read(ctx context.Context, tenant string, query Query) iter.Seq2[roxy.Event, error]
	// Bounds tells what the tenant's log holds. A tenant never heard of gets its epoch, durably, and an empty log.
	Bounds(ctx context.Context, tenant string) (Bounds, error)
	// Tail returns a reader of all that is committed from now on, on every node. Whoever opens a tail reads it
	// steadily or closes it: a tail that is not read holds commits back, so that memory stays bounded.
	Tail() Tail
}

// Trimmer is the part of an engine that forgets.
type Trimmer interface {
	// Trim deletes the tenant's events up to and including offset through range deletes, at a cost that does not
	// grow with their number.
	Trim(ctx context.Context, tenant string, offset uint64) error
}

// Query selects events of one tenant's log.
type Query struct {
	After  uint64       // only events behind this offset
	Until  uint64       // and not behind this one; 0 is the durable head at the time of the call
	Topics []roxy.Topic // only events on these; empty is every topic
}

// Bounds is the extent of a tenant's log.
type Bounds struct {
	Epoch string // the id of this life of the log
	First uint64 // the oldest retained offset; Head+1 when nothing is
	Head  uint64 // the newest durable offset; 0 when there never was an event
}

// Receipt is the outcome of a Commit.
type Receipt struct {
	Epoch   string
	Entries []Entry // one for each event, in the order given
}

// Entry is where one event stands.
type Entry struct {
	Offset    uint64
	Duplicate bool // it stood there already
}

// Tail is one reader of the heads of all logs. Next is called by one goroutine at a time.
type Tail interface {
	// Next blocks until something was committed behind what it returned last, and returns that: each tenant's events
	// in log order, without hole or repeat. The slices are valid and unchanging for ever, shared with other tails.
	// Errors: ErrClosed, the context's.
	Next(ctx context.Context) ([]Committed, error)
	// Close lets go of the tail; a blocked Next returns ErrClosed.
	Close()
}

// Committed is a run of events of one tenant that became durable together.
type Committed struct {
	Tenant string
	Epoch  string
	Events []roxy.Event
}

// SystemTenant reports whether tenant is one of the hub's own, whose names no token can carry: they begin with $.
func SystemTenant(tenant string) bool { return tenant != "" && tenant[0] == '$' }
