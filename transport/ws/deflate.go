package ws

import (
	"bytes"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/internal/deflate"
)

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
	if n < deflate.Worthwhile {
		return frameBehind(dst, start, textFrame)
	}
	dst = deflate.Append(dst, nil, dst[start:])
	packed, smaller := bytes.CutSuffix(dst[start+n:], []byte(deflate.SyncMark))
	if !smaller || len(packed) >= n {
		return frameBehind(dst[:start+n], start, textFrame)
	}
	dst = dst[:start+copy(dst[start:], packed)]
	return frameBehind(dst, start, textFrame|rsv1Bit)
}

// AppendControl appends one of the hub's own events, which are short.
func (Deflate) AppendControl(dst []byte, c hub.Control) []byte {
	return Encoding{}.AppendControl(dst, c)
}
