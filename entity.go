package roxy

import "time"

// MaxFields bounds the top-level members of one entity: the hub keeps who changed each of them, and when.
const MaxFields = 1000

// Entity is a versioned JSON object that lives at a topic. Every change to it is an event on that topic, too.
type Entity struct {
	Topic   Topic
	Version uint64    // counts its commits, from 1; 0 when there never was one. A deletion counts, too
	Data    []byte    // a JSON object in the canonical form of package document; nil when it was deleted
	Time    time.Time // of its last change
	Offset  uint64    // of the event of its last change in the tenant's log
}

// Exists reports whether there is something to read.
func (e *Entity) Exists() bool { return e.Data != nil }

// Change is what the event of a commit says of its entity. The version before was Version-1.
type Change struct {
	Op       Op
	Version  uint64
	Patch    []byte // the merge patch (RFC 7396) from the version before to this one; nil when nothing changed, and for a deletion
	Undo     []byte // the one that leads back, so that each view's own patch can be told; nil likewise, and for a new entity
	Mutation string // the mutation's ID; "" for none
}

// The types of the events of commits that name none.
const (
	EntityCreated = "entity:created"
	EntityUpdated = "entity:updated"
	EntityDeleted = "entity:deleted"
)
