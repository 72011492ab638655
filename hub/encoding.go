package hub

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

// Encoding is how a transport spells what the hub sends. It is stateless: the bytes of an event are the same for every
// stream of a class.
type Encoding interface {
	// Name tells encodings apart.
	Name() string
	// AppendEvent appends one event. A zero cursor means that the event has none (it is ephemeral).
	AppendEvent(dst []byte, cursor roxy.Cursor, eventType string, envelope []byte) []byte
	// AppendControl appends one of the hub's own events.
	AppendControl(dst []byte, c Control) []byte
}

// Control is one of the hub's own events (docs/protocol.md §4). Data marshals to a JSON object.
type Control struct {
	Type   string        // such as roxy:hello
	Cursor roxy.Cursor   // sent as the event's id when not zero: the stream has given everything up to it
	Retry  time.Duration // how long to wait before the next connection; 0 says nothing about it
	Data   any
}

// Hello, Reset, Live, Heartbeat and Bye are the data of the control events.
type (
	// Hello is the first event of every stream.
	Hello struct {
		Connection string    `json:"connection"`
		Device     string    `json:"device,omitempty"`
		Cursor     string    `json:"cursor,omitempty"` // none when a snapshot follows: its end is the first place to come back to
		View       string    `json:"view"`             // another one means that the roles see more or less than before
		Epoch      string    `json:"epoch"`
		Heartbeat  string    `json:"heartbeat"`
		Time       time.Time `json:"time"`
		Retry      int64     `json:"retry"` // ms
	}
	// Reset says that what was missed cannot be replayed.
	Reset struct {
		Reason string `json:"reason"` // epoch, retention
		Cursor string `json:"cursor"`
	}
	// Live says that the stream has caught up.
	Live struct {
		Cursor   string  `json:"cursor"`
		Replayed uint64  `json:"replayed"`
		Entities *uint64 `json:"entities,omitempty"` // of the snapshot before; nil when there was none
	}
	// Heartbeat says that the stream lives and has nothing to give up to Cursor.
	Heartbeat struct {
		Time   time.Time `json:"time"`
		Cursor string    `json:"cursor,omitempty"` // none within a snapshot
	}
	// Receipt tells a device what became of one of its mutations.
	Receipt struct {
		ID      string          `json:"id"`
		Status  roxy.Outcome    `json:"status"`
		Topic   string          `json:"topic,omitempty"`
		Version uint64          `json:"version,omitempty"`
		Cursor  string          `json:"cursor,omitempty"`
		Problem json.RawMessage `json:"problem,omitempty"`
	}
	// Present is one device of a user, or all streams of the user that name none.
	Present struct {
		User   string    `json:"user"`
		Device string    `json:"device,omitempty"`
		Since  time.Time `json:"since"` // present without a break longer than the grace
	}
	// PresenceList is everybody who is present, in parts of which the first replaces what was known.
	PresenceList struct {
		Present []Present  `json:"present"`
		Part    int        `json:"part"` // from 1
		Parts   int        `json:"parts"`
		Settles *time.Time `json:"settles,omitempty"` // until then who was there before the hub began may not be back; nil afterwards
	}
	// PresenceChange is what changed of that.
	PresenceChange struct {
		Joined []Joined `json:"joined"`
		Left   []Left   `json:"left"`
	}
	// Joined is a device that is present now.
	Joined struct {
		Present
		Others int `json:"others"` // devices by which the user is present besides; 0: the user has come
	}
	// Left is a device that is not present any more.
	Left struct {
		User   string    `json:"user"`
		Device string    `json:"device,omitempty"`
		Until  time.Time `json:"until"`  // when its last connection ended
		Others int       `json:"others"` // 0: the user has gone
	}
	// Bye says why the hub closes the stream.
	Bye struct {
		Reason Reason `json:"reason"`
		Retry  int64  `json:"retry"` // ms
	}
)

// Reason is why the hub closed a stream.
type Reason string

// The reasons of roxy:bye.
const (
	Drain        Reason = "drain"
	TokenExpired Reason = "token-expired"
	Revoked      Reason = "revoked"
	Slow         Reason = "slow"
	Overload     Reason = "overload"
	Replaced     Reason = "replaced" // another connection of the device took over
)

// appendEnvelope appends the JSON object that carries an event to who does not see hidden: topic, time, by, correlation,
// traceparent, who must confirm it, and data, or what changed of an entity.
func appendEnvelope(dst []byte, e *roxy.Event, cursor roxy.Cursor, hidden *document.Hidden) []byte {
	return appendAttempt(dst, e, cursor, 1, hidden)
}

// appendAttempt is appendEnvelope for the attempt-th delivery of an event.
func appendAttempt(dst []byte, e *roxy.Event, cursor roxy.Cursor, attempt int, hidden *document.Hidden) []byte {
	dst = append(dst, `{"topic":"`...)
	dst = append(dst, e.Topic.String()...) // its characters need no escaping
	dst = append(dst, `","time":"`...)
	dst = e.Time.AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	for _, m := range [...]struct{ name, value string }{
		{"by", e.By}, {"correlation", e.Correlation}, {"traceparent", e.TraceParent},
	} {
		if m.value != "" {
			dst = append(dst, `,"`...)
			dst = append(dst, m.name...)
			dst = append(dst, `":`...)
			dst = appendString(dst, m.value)
		}
	}
	if e.Ack != nil {
		dst = append(dst, `,"ack":{"id":"`...)
		dst = cursor.Append(dst)
		dst = append(dst, `","by":"`...)
		dst = append(dst, e.Ack.By...)
		dst = append(dst, `"},"attempt":`...)
		dst = strconv.AppendInt(dst, int64(attempt), 10)
	}
	if e.Change != nil {
		return appendChange(dst, e.Change, hidden)
	}
	dst = append(dst, `,"data":`...)
	if e.Data == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, redactData(e.Data, hidden)...)
	}
	return append(dst, '}')
}

// appendChange appends what is told of a change and the end of the object.
func appendChange(dst []byte, c *roxy.Change, hidden *document.Hidden) []byte {
	dst = append(dst, `,"op":"`...)
	dst = append(dst, c.Op...)
	dst = append(dst, `","version":`...)
	dst = strconv.AppendUint(dst, c.Version, 10)
	dst = append(dst, `,"base":`...)
	dst = strconv.AppendUint(dst, c.Version-1, 10)
	if c.Op != roxy.Delete {
		dst = append(dst, `,"patch":`...)
		dst = append(dst, hidden.ViewDelta(c.Undo, c.Patch)...)
	}
	if c.Mutation != "" {
		dst = append(dst, `,"mutation":`...)
		dst = appendString(dst, c.Mutation)
	}
	return append(dst, '}')
}

// redactData returns what is left of a published event's data. It is kept as it was sent, and has its canonical form
// only where something has to be found in it.
func redactData(data []byte, hidden *document.Hidden) []byte {
	if hidden == nil {
		return data
	}
	canonical, err := document.Patch(data)
	if err != nil {
		return []byte("null") // it was checked before; what cannot be looked into is not shown
	}
	return hidden.Redact(canonical)
}

// appendString appends s as a JSON string; plain ASCII, the usual case, takes no detour.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a string that does not marshal: " + strconv.Quote(s))
			}
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
