package engine

import (
	"context"
	"iter"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// Entities is each tenant's present state, changed in one step with its log. Implementations are safe for concurrent
// use and pass enginetest.Entities.
type Entities interface {
	// Mutate commits mutations to the tenant's entities as one unit, in order, and appends one event for each to its
	// log. When it returns nil all of them survive a power cut; after a context error the outcome is unknown and the
	// caller repeats it with the same IDs. A mutation whose ID the same author (By) used within the last 24 h is not
	// applied again: its result is the stored one, marked Duplicate.
	// Errors: *Refusal (nothing was committed; that of a mutation with an ID is stored as its result), and those of
	// Log.Commit.
	Mutate(ctx context.Context, tenant string, mutations []Mutation) ([]roxy.MutationResult, error)
	// Entity returns what lives at topic: durable, and no older than any Mutate that returned before. Its Version is 0
	// when nothing ever did.
	Entity(ctx context.Context, tenant string, topic roxy.Topic) (roxy.Entity, error)
	// Snapshot returns all entities as they are at one position of the log, durable, no older than any Mutate that
	// returned before. The caller closes it, before the engine.
	Snapshot(ctx context.Context, tenant string) (Snapshot, error)
}

// Mutations is what is kept of the mutations of each author.
type Mutations interface {
	// Results returns what became of the author's mutations, one for each id; roxy.Unknown for those never seen.
	Results(ctx context.Context, tenant, by string, ids []string) ([]roxy.MutationResult, error)
	// Cancel makes sure that a mutation that was not seen yet never commits, durably, and returns what became of it:
	// roxy.Cancelled, or the result that it had already.
	Cancel(ctx context.Context, tenant, by, id string) (roxy.MutationResult, error)
}

// Snapshot is a tenant's entities at one position of its log. It holds nothing of them in memory. Its methods may be
// called from any goroutine.
type Snapshot interface {
	// Bounds tells the position: the Head at the moment of the snapshot.
	Bounds() Bounds
	// Entities yields the existing entities that match one of patterns, behind the topic after (the zero Topic: from
	// the beginning), sorted by topic. An error ends it.
	Entities(ctx context.Context, patterns []roxy.Pattern, after roxy.Topic) iter.Seq2[roxy.Entity, error]
	// States yields everything there is, tombstones too, behind the topic after, sorted by topic.
	States(ctx context.Context, after roxy.Topic) iter.Seq2[State, error]
	// Close lets go of the snapshot; what is read of it from then on is ErrClosed. Calling it again is harmless.
	Close()
}

// Mutation is a mutation with what its tenant's policy makes of it.
type Mutation struct {
	roxy.Mutation
	// Author is what its author does not see: it is neither changed nor looked at on the author's behalf.
	Author *document.Hidden
	// Parts are the parts of fields that some see and others do not.
	Parts *document.Parts
	// Check is asked whether the result, in the author's view, may stand. A *roxy.Problem refuses it. It is called
	// where everybody waits, and has to be quick. Nil allows everything. It is not called for deletions.
	Check func(view []byte) *roxy.Problem
}

// Refusal says which mutation of a call was refused, and why.
type Refusal struct { //nolint:errname // what it is
	Index   int
	Problem *roxy.Problem
	Stored  bool // it was decided before: the result is the stored one
}

// Error returns the problem.
func (r *Refusal) Error() string { return r.Problem.Error() }

// Unwrap returns the problem.
func (r *Refusal) Unwrap() error { return r.Problem }
