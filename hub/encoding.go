package hub

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/roxyhub/roxy"
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
		Cursor     string    `json:"cursor"`
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
		Cursor   string `json:"cursor"`
		Replayed uint64 `json:"replayed"`
	}
	// Heartbeat says that the stream lives and has nothing to give up to Cursor.
	Heartbeat struct {
		Time   time.Time `json:"time"`
		Cursor string    `json:"cursor"`
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
)

// appendEnvelope appends the JSON object that carries an event: topic, time, by, correlation, traceparent, data.
func appendEnvelope(dst []byte, e *roxy.Event) []byte {
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
	dst = append(dst, `,"data":`...)
	if e.Data == nil {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, e.Data...)
	}
	return append(dst, '}')
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
