package ws

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Bits of a frame's first two bytes (RFC 6455 §5.2).
const (
	finBit  = 0x80
	rsv1Bit = 0x40 // the message is compressed (RFC 7692 §6)
	rsvBits = 0x70
	opBits  = 0x0f
	maskBit = 0x80
	lenBits = 0x7f
)

// maxControl bounds the payload of a control frame.
const maxControl = 125

// maxHeader is the longest header of a frame that the server sends: it has no mask.
const maxHeader = 10

// appendFrame appends a whole message as one frame.
func appendFrame(dst []byte, op ws.OpCode, payload []byte) []byte {
	dst = appendHeader(dst, byte(op)|finBit, len(payload))
	return append(dst, payload...)
}

func appendHeader(dst []byte, first byte, n int) []byte {
	switch {
	case n <= maxControl:
		return append(dst, first, byte(n)) //nolint:gosec // at most maxControl
	case n <= 1<<16-1:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(n))
	}
}

// frameBehind makes dst[start:] the payload of a frame: the header goes before it.
func frameBehind(dst []byte, start int, first byte) []byte {
	var room [maxHeader]byte
	header := appendHeader(room[:0], first, len(dst)-start)
	dst = append(dst, header...) // for its length
	copy(dst[start+len(header):], dst[start:])
	copy(dst[start:], header)
	return dst
}

// appendClose appends a close frame. The reason is ours, and short enough.
func appendClose(dst []byte, code ws.StatusCode, reason string) []byte {
	return appendFrame(dst, ws.OpClose, ws.NewCloseFrameBody(code, reason))
}
