// Package roxy is the language of the domain: events, topics, cursors, audiences, grants and the problems that a
// caller can be told of. It holds values and their rules, knows no network and no disk, and imports nothing of ours.
package roxy

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
)

// DefaultType is the type of an event that names none, as in EventSource.
const DefaultType = "message"

// reservedType opens the types of the hub's own events.
const reservedType = "roxy:"

// Event is one immutable message on one topic. Its publisher sets the first group, the hub the second. Whoever holds
// an Event leaves its slices alone: they are shared.
type Event struct {
	Topic       Topic
	Type        string // never empty after Check
	Data        []byte // compact JSON in UTF-8; nil means null
	To          Audience
	ID          string        // idempotency key; "" for none
	TTL         time.Duration // not delivered after Time+TTL; 0 means as long as it is retained
	Correlation string
	Except      string // the device that is not to have it
	TraceParent string // W3C trace context, handed on as it came
	Ephemeral   bool   // not logged, no cursor
	Urgent      bool   // flushed first
	Ack         *Ack   // who must confirm it; nil for nobody

	// Change is set, by the engine, on the event of an entity's commit, which then has no Data.
	Change *Change

	Offset uint64    // position in the tenant's log, from 1; 0 when ephemeral
	Time   time.Time // UTC, when the hub took it; never decreasing along a log
	By     string    // the publishing user
}

// Check returns a *Problem that names the member at fault, or nil. maxBytes bounds Size.
func (e *Event) Check(maxBytes int) error {
	switch {
	case e.Topic == Topic{}:
		return &Problem{Code: InvalidTopic, Member: "topic", Detail: "topic is required"}
	case e.Topic.Reserved():
		return &Problem{Code: InvalidTopic, Member: "topic", Detail: fmt.Sprintf("topic %q: roxy/ is reserved for the hub", e.Topic)}
	case strings.HasPrefix(e.Type, reservedType):
		return invalidMember("type", fmt.Errorf("%q: types that begin with roxy: are the hub's", clip(e.Type)))
	case e.TTL < 0:
		return invalidMember("ttl", fmt.Errorf("%s is negative", e.TTL))
	}
	for _, m := range []struct{ member, value string }{
		{"type", e.Type}, {"id", e.ID}, {"correlation", e.Correlation},
	} {
		if m.value == "" && m.member != "type" {
			continue
		}
		if err := CheckName(m.value); err != nil {
			return invalidMember(m.member, err)
		}
	}
	if e.Ack != nil {
		if err := e.Ack.Check(); err != nil {
			return err
		}
		if e.Ephemeral {
			return invalidMember("ack", fmt.Errorf("an ephemeral event is in no log, and so cannot be delivered again"))
		}
	}
	if e.Except != "" {
		if err := CheckDevice(e.Except); err != nil {
			return invalidMember("except", err)
		}
	}
	if n := e.Size(); n > maxBytes {
		return &Problem{Code: TooLarge, Member: "data", Detail: fmt.Sprintf("the event takes %d bytes, at most %d", n, maxBytes)}
	}
	return nil
}

// Size returns how many bytes of the publisher's e holds; the limit on an event counts them.
func (e *Event) Size() int {
	n := len(e.Topic.path) + len(e.Type) + len(e.Data) + len(e.ID) + len(e.Correlation) + len(e.Except) + len(e.TraceParent)
	for _, names := range [][]string{e.To.Roles, e.To.Users} {
		for _, name := range names {
			n += len(name)
		}
	}
	if c := e.Change; c != nil {
		n += len(c.Patch) + len(c.Undo) + len(c.Mutation)
	}
	return n
}

// Expired reports whether e is not to be delivered any more at now.
func (e *Event) Expired(now time.Time) bool { return e.TTL > 0 && now.After(e.Time.Add(e.TTL)) }

// Fingerprint tells apart two events that were published with one idempotency key: it covers what the publisher
// set, but not TraceParent, which differs between a request and its repetition.
func (e *Event) Fingerprint() [16]byte {
	parts := []string{
		e.Topic.path, e.Type, string(e.Data), e.Correlation, e.Except,
		fmt.Sprint(e.TTL, e.Ephemeral, e.Urgent, len(e.To.Roles)),
	}
	if e.Ack != nil {
		parts = append(parts, fmt.Sprint(*e.Ack))
	}
	return fingerprint(append(append(parts, e.To.Roles...), e.To.Users...)...)
}

// fingerprint hashes parts, each with its length, so that no two lists of parts run together.
func fingerprint(parts ...string) [16]byte {
	h := sha256.New()
	var length [8]byte
	for _, s := range parts {
		binary.LittleEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	return [16]byte(h.Sum(nil))
}

// CheckDevice returns an error unless s is a device's name: 1–64 of [A-Za-z0-9_-].
func CheckDevice(s string) error {
	if s == "" || len(s) > 64 {
		return fmt.Errorf("device %q: %d bytes, want 1–64", clip(s), len(s))
	}
	for i := range len(s) {
		if c := s[i]; !topicRune(rune(c)) || strings.IndexByte(".~:@", c) >= 0 {
			return fmt.Errorf("device %q: %q is not one of A-Z a-z 0-9 _ -", clip(s), c)
		}
	}
	return nil
}

func invalidMember(member string, err error) *Problem {
	return &Problem{Code: InvalidEvent, Member: member, Detail: fmt.Sprintf("%s: %v", member, err)}
}
