package ws

import (
	"fmt"

	"github.com/klauspost/compress/flate"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// worthwhile is the length from which an event is compressed: below it little is saved.
const worthwhile = 200

// syncMark ends a DEFLATE fragment that more could follow; it is not sent (RFC 7692 §7.2.1).
const syncMark = "\x00\x00\xff\xff"

// Deflate is Encoding with permessage-deflate: without context takeover a compressed event is the same for every client
// too, and is compressed once for all.
type Deflate struct{}

// Name returns ws+deflate.
func (Deflate) Name() string { return "ws+deflate" }

// AppendEvent appends one event, compressed when that makes it shorter.
func (Deflate) AppendEvent(dst []byte, cursor roxy.Cursor, eventType string, envelope []byte) []byte {
	start := len(dst)
	dst = appendMessage(dst, cursor, eventType, envelope)
	n := len(dst) - start
	if n < worthwhile {
		return frameBehind(dst, start, textFrame)
	}
	out := appender{dst}
	if err := flate.StatelessDeflate(&out, dst[start:], false, nil); err != nil {
		panic(fmt.Sprintf("BUG: compressing into memory failed: %v", err))
	}
	packed := out.buf[start+n : len(out.buf)-len(syncMark)]
	if len(packed) >= n {
		return frameBehind(dst, start, textFrame)
	}
	dst = out.buf[:start+copy(out.buf[start:], packed)]
	return frameBehind(dst, start, textFrame|rsv1Bit)
}

// AppendControl appends one of the hub's own events, which are short.
func (Deflate) AppendControl(dst []byte, c hub.Control) []byte {
	return Encoding{}.AppendControl(dst, c)
}

// appender is a slice as an io.Writer.
type appender struct{ buf []byte }

// Write appends p.
func (a *appender) Write(p []byte) (int, error) {
	a.buf = append(a.buf, p...)
	return len(p), nil
}
