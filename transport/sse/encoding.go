// Package sse carries a subscription over Server-Sent Events (WHATWG HTML §9.2), as docs/protocol.md §4 lays down. It
// spells and sends; what a stream holds is the hub's.
package sse

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// Encoding spells the hub's events as text/event-stream. Neither a type nor compact JSON can hold a line break, so an
// event has one data line.
type Encoding struct{}

// Name returns sse.
func (Encoding) Name() string { return "sse" }

// AppendEvent appends id (when there is a cursor), event and data lines, and the blank line.
func (Encoding) AppendEvent(dst []byte, cursor roxy.Cursor, eventType string, envelope []byte) []byte {
	dst = appendID(dst, cursor)
	if eventType != roxy.DefaultType { // an event without the field is a message
		dst = append(dst, "event: "...)
		dst = append(dst, eventType...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	dst = append(dst, envelope...)
	return append(dst, "\n\n"...)
}

// AppendControl appends one of the hub's own events, with a retry line when it has one to give.
func (Encoding) AppendControl(dst []byte, c hub.Control) []byte {
	dst = appendID(dst, c.Cursor)
	if c.Retry > 0 {
		dst = append(dst, "retry: "...)
		dst = strconv.AppendInt(dst, c.Retry.Milliseconds(), 10)
		dst = append(dst, '\n')
	}
	dst = append(dst, "event: "...)
	dst = append(dst, c.Type...)
	dst = append(dst, "\ndata: "...)
	data, err := json.Marshal(c.Data)
	if err != nil {
		panic(fmt.Sprintf("BUG: data of %s does not marshal: %v", c.Type, err))
	}
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}

func appendID(dst []byte, cursor roxy.Cursor) []byte {
	if cursor.Epoch == "" {
		return dst
	}
	dst = append(dst, "id: "...)
	dst = cursor.Append(dst)
	return append(dst, '\n')
}
