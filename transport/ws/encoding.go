package ws

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gobwas/ws"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

const textFrame = byte(ws.OpText) | finBit

// Encoding spells each of the hub's events as one text message in one unmasked frame, which is the same for every
// client: an array of one {id, event, data}. A goodbye is followed by the close frame that goes with it.
type Encoding struct{}

// Name returns ws.
func (Encoding) Name() string { return "ws" }

// AppendEvent appends one event.
func (Encoding) AppendEvent(dst []byte, cursor roxy.Cursor, eventType string, envelope []byte) []byte {
	start := len(dst)
	return frameBehind(appendMessage(dst, cursor, eventType, envelope), start, textFrame)
}

// AppendControl appends one of the hub's own events.
func (Encoding) AppendControl(dst []byte, c hub.Control) []byte {
	data, err := json.Marshal(c.Data)
	if err != nil {
		panic(fmt.Sprintf("BUG: data of %s does not marshal: %v", c.Type, err))
	}
	dst = Encoding{}.AppendEvent(dst, c.Cursor, c.Type, data)
	if bye, ok := c.Data.(hub.Bye); ok {
		dst = appendClose(dst, codeOf(bye.Reason), string(bye.Reason))
	}
	return dst
}

// farewell is what the frame of a goodbye begins with. No publisher's event has such a type.
const farewell = `[{"event":"roxy:bye",`

// saysBye reports whether p, whole frames of the hub, ends the connection: a goodbye has a write of its own.
func saysBye(p []byte) bool {
	return len(p) > 2 && p[0] == textFrame && bytes.HasPrefix(p[2:], []byte(farewell))
}

// appendMessage appends the text of a message of one event.
func appendMessage(dst []byte, cursor roxy.Cursor, eventType string, envelope []byte) []byte {
	dst = append(dst, "[{"...)
	if cursor.Epoch != "" {
		dst = append(dst, `"id":"`...) // a cursor holds nothing that JSON escapes
		dst = cursor.Append(dst)
		dst = append(dst, `",`...)
	}
	dst = append(dst, `"event":`...)
	dst = appendString(dst, eventType)
	dst = append(dst, `,"data":`...)
	dst = append(dst, envelope...)
	return append(dst, "}]"...)
}

// appendString appends s, which is UTF-8, as JSON.
func appendString(dst []byte, s string) []byte {
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		panic("BUG: a checked name is not UTF-8: " + err.Error())
	}
	return dst
}

// quiet is the encoding of a socket that subscribes nothing: of all that the hub has to say, only its goodbye counts. A
// heartbeat is a ping.
type quiet struct{}

// Name returns ws-quiet.
func (quiet) Name() string { return "ws-quiet" }

// AppendEvent appends nothing.
func (quiet) AppendEvent(dst []byte, _ roxy.Cursor, _ string, _ []byte) []byte { return dst }

// AppendControl appends a goodbye, or a ping.
func (quiet) AppendControl(dst []byte, c hub.Control) []byte {
	switch c.Data.(type) {
	case hub.Bye:
		return Encoding{}.AppendControl(dst, c)
	case hub.Heartbeat:
		return appendFrame(dst, ws.OpPing, nil)
	}
	return dst
}
