package roxy

import (
	"fmt"
	"strings"
)

// Op is what a mutation does.
type Op string

// The ops.
const (
	Put    Op = "put"    // create, or replace what its author sees
	Patch  Op = "patch"  // change by a merge patch (RFC 7396)
	Delete Op = "delete" // leave a tombstone: a later Put goes on counting versions
)

// Guard is what must not have happened to an entity for a mutation to commit (docs/protocol.md §6).
type Guard string

// The guards.
const (
	GuardNone    Guard = "none"    // commit whatever it is by now
	GuardVersion Guard = "version" // it must still be at Base; 0 is no entity, or a deleted one
	GuardFields  Guard = "fields"  // nobody else may have changed a field of the mutation, to another value, since Base
)

// Mutation is one change of one entity that somebody asks for.
type Mutation struct {
	ID    string // idempotency key; "" for none
	Op    Op
	Topic Topic
	Data  []byte // of Put the object, of Patch the merge patch, in the canonical form of package document; nil for Delete
	Guard Guard
	Base  uint64 // the version that the author saw
	// Present asks for an entity that exists, at whichever version (If-Match: *).
	Present     bool
	Device      string // who writes, with Seq, which grows with each mutation of a device: its own earlier changes are no conflict
	Seq         uint64
	Type        string // of the event; "" is EntityCreated, EntityUpdated or EntityDeleted
	Correlation string
	TraceParent string // W3C trace context, handed on as it came

	By string // the user who asks; the hub sets it
}

// Check returns a *Problem that names the member at fault, or nil. What Data holds is not looked at.
func (m *Mutation) Check(maxBytes int) error {
	switch {
	case m.Topic == Topic{}:
		return &Problem{Code: InvalidTopic, Member: "topic", Detail: "topic is required"}
	case m.Topic.Reserved():
		return &Problem{Code: InvalidTopic, Member: "topic", Detail: fmt.Sprintf("topic %q: roxy/ is reserved for the hub", m.Topic)}
	case m.Topic.indirect():
		return &Problem{Code: InvalidTopic, Member: "topic", Detail: fmt.Sprintf("topic %q: no entity lives at . or .., which no URL can name", m.Topic)}
	case m.Op != Put && m.Op != Patch && m.Op != Delete:
		return invalidMutation("op", "op %q is none of put, patch and delete", clip(string(m.Op)))
	case m.Op == Put && m.Data == nil:
		return invalidMutation("data", "data is required: the object to put")
	case m.Op == Patch && m.Data == nil:
		return invalidMutation("patch", "patch is required: the members to change")
	case m.Op == Delete && m.Data != nil:
		return invalidMutation("data", "a delete has no data")
	case m.Guard != GuardNone && m.Guard != GuardVersion && m.Guard != GuardFields:
		return invalidMutation("guard", "guard %q is none of none, version and fields", clip(string(m.Guard)))
	case m.Guard == GuardNone && m.Base != 0:
		return invalidMutation("base", "base says nothing without a guard: give guard version or fields")
	case strings.HasPrefix(m.Type, reservedType):
		return invalidMutation("type", "type %q: types that begin with roxy: are the hub's", clip(m.Type))
	case m.Seq != 0 && m.Device == "":
		return invalidMutation("seq", "seq counts the mutations of a device: give device")
	}
	for _, n := range []struct{ member, value string }{{"id", m.ID}, {"type", m.Type}, {"correlation", m.Correlation}} {
		if n.value == "" {
			continue
		}
		if err := CheckName(n.value); err != nil {
			return invalidMutation(n.member, "%s: %v", n.member, err)
		}
	}
	if m.Device != "" {
		if err := CheckDevice(m.Device); err != nil {
			return invalidMutation("device", "%v", err)
		}
	}
	if n := m.Size(); n > maxBytes {
		return &Problem{Code: TooLarge, Member: m.content(), Detail: fmt.Sprintf("the mutation takes %d bytes, at most %d", n, maxBytes)}
	}
	return nil
}

// content is the member that holds Data.
func (m *Mutation) content() string {
	if m.Op == Patch {
		return "patch"
	}
	return "data"
}

// Size returns how many bytes of its author's m holds; the limit on an event counts them.
func (m *Mutation) Size() int {
	return len(m.Topic.path) + len(m.Type) + len(m.Data) + len(m.ID) + len(m.Correlation) + len(m.Device) + len(m.TraceParent)
}

// Fingerprint tells apart two mutations that were sent with one ID, as Event.Fingerprint does events.
func (m *Mutation) Fingerprint() [16]byte {
	return fingerprint(string(m.Op), m.Topic.path, string(m.Data), string(m.Guard), fmt.Sprint(m.Base, m.Present, m.Seq), m.Device, m.Type, m.Correlation)
}

func invalidMutation(member, format string, args ...any) *Problem {
	return &Problem{Code: InvalidMutation, Member: member, Detail: fmt.Sprintf(format, args...)}
}

// Outcome is what became of a mutation.
type Outcome string

// The outcomes. All but Unknown are final.
const (
	Committed Outcome = "committed"
	Refused   Outcome = "refused"
	Cancelled Outcome = "cancelled" // it can never commit any more
	Unknown   Outcome = "unknown"   // never seen, or longer ago than results are kept
)

// MutationResult is what became of one mutation.
type MutationResult struct {
	ID      string // the mutation's; "" when it had none
	Outcome Outcome
	Topic   Topic
	Version uint64   // that it made; 0 unless Committed
	Cursor  Cursor   // of its event; zero unless Committed
	Created bool     // nothing lived at Topic before
	Problem *Problem // why it was Refused or Cancelled; nil otherwise

	Duplicate bool // it was decided before: this is the stored result
}

// Conflict is why a guard failed, in the view of who asked.
type Conflict struct {
	Current *Entity  // as it is now; nil when the author may not read it
	Fields  []string // those that clash; none when the whole version is guarded
}

// Violation is one way in which a value breaks its schema.
type Violation struct {
	Pointer string // RFC 6901, from the value's root
	Keyword string // of JSON Schema, such as required
	Message string
}
