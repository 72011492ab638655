package ws

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// message is what a client said: a text message, or a control frame.
type message struct {
	op      ws.OpCode
	payload []byte // valid until the handler returns
}

// idleMemory is what a connection may keep between messages.
const idleMemory = 4 << 10

// maxFragments bounds the frames of one message: each may be empty, and would cost only its sender's patience.
const maxFragments = 1024

// parser cuts what a client sends into messages. It is given bytes as they come, waits for none, and holds no more than
// the message in hand.
type parser struct {
	limit   int  // bytes of a message, inflated
	deflate bool // permessage-deflate was agreed on

	head   [14]byte // of the frame in hand
	headed int      // bytes of head

	inFrame bool
	op      ws.OpCode
	fin     bool
	mask    [4]byte
	masked  int // payload bytes of the frame so far
	left    int // payload bytes to come
	control [maxControl]byte

	text       []byte // of the message in hand
	open       bool   // a fragmented message waits for more frames
	compressed bool
	fragments  int
}

// busy reports whether a message has begun and not ended.
func (p *parser) busy() bool { return p.headed > 0 || p.inFrame || p.open }

// feed takes b, whose bytes it overwrites, and calls handle for each message that it completes. An error, of handle or
// of what the client sent (then a *closeError), ends the connection.
func (p *parser) feed(b []byte, handle func(message) error) error {
	for len(b) > 0 {
		if !p.inFrame {
			p.head[p.headed] = b[0]
			p.headed++
			b = b[1:]
			if p.headed < 2 || p.headed < p.headerLength() {
				continue
			}
			if err := p.begin(); err != nil {
				return err
			}
		}
		n := min(p.left, len(b))
		p.take(b[:n])
		b = b[n:]
		if p.left == 0 {
			if err := p.end(handle); err != nil {
				return err
			}
		}
	}
	return nil
}

// headerLength is that of the frame in hand, of which two bytes are known.
func (p *parser) headerLength() int {
	n := 2
	switch p.head[1] & lenBits {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if p.head[1]&maskBit != 0 {
		n += 4
	}
	return n
}

// begin checks the header of a frame: what is wrong is known before any of its payload is kept.
func (p *parser) begin() error {
	first, length := p.head[0], uint64(p.head[1]&lenBits)
	p.op, p.fin = ws.OpCode(first&opBits), first&finBit != 0
	if p.head[1]&maskBit == 0 {
		return protocolError("a client's frame is not masked")
	}
	switch length {
	case 126:
		if length = uint64(binary.BigEndian.Uint16(p.head[2:])); length < 126 {
			return protocolError("a length is not in its shortest form")
		}
	case 127:
		if length = binary.BigEndian.Uint64(p.head[2:]); length < 1<<16 || length > 1<<63-1 {
			return protocolError("a length is not in its shortest form")
		}
	}
	if err := p.admit(first&rsvBits, length); err != nil {
		return err
	}
	copy(p.mask[:], p.head[p.headed-4:])
	p.headed, p.inFrame, p.masked, p.left = 0, true, 0, int(length)
	return nil
}

// admit checks a frame against those before it and against the limits.
func (p *parser) admit(reserved byte, length uint64) error {
	switch p.op {
	case ws.OpClose, ws.OpPing, ws.OpPong:
		switch {
		case reserved != 0:
			return protocolError("a reserved bit is set")
		case !p.fin:
			return protocolError("a control frame is fragmented")
		case length > maxControl:
			return protocolError("a control frame is longer than 125 bytes")
		}
		return nil
	case ws.OpText, ws.OpBinary:
		switch {
		case p.open:
			return protocolError("a message begins inside another")
		case reserved != 0 && (reserved != rsv1Bit || !p.deflate):
			return protocolError("a reserved bit is set")
		case p.op == ws.OpBinary:
			return &closeError{ws.StatusUnsupportedData, "messages are text"}
		}
		p.compressed, p.fragments, p.text = reserved == rsv1Bit, 0, p.text[:0]
	case ws.OpContinuation:
		switch {
		case !p.open:
			return protocolError("a continuation continues nothing")
		case reserved != 0:
			return protocolError("a reserved bit is set")
		}
	default:
		return protocolError(fmt.Sprintf("opcode %d is none", p.op))
	}
	if p.fragments++; p.fragments > maxFragments {
		return &closeError{ws.StatusPolicyViolation, fmt.Sprintf("a message has more than %d fragments", maxFragments)}
	}
	if length > uint64(p.limit-len(p.text)) { //nolint:gosec // never negative: text is within the limit
		return tooBig(p.limit)
	}
	return nil
}

// take keeps b, payload of the frame in hand, unmasked. The memory for a message grows with what has come, not with
// what was announced.
func (p *parser) take(b []byte) {
	ws.Cipher(b, p.mask, p.masked)
	if p.op.IsControl() {
		copy(p.control[p.masked:], b)
	} else {
		p.text = append(p.text, b...)
	}
	p.masked += len(b)
	p.left -= len(b)
}

// end hands on what the frame in hand completes.
func (p *parser) end(handle func(message) error) error {
	p.inFrame = false
	if p.op.IsControl() {
		m := message{p.op, p.control[:p.masked]}
		if p.op == ws.OpClose {
			if err := checkClose(m.payload); err != nil {
				return err
			}
		}
		return handle(m)
	}
	if p.open = !p.fin; p.open {
		return nil
	}
	text := p.text
	if p.compressed {
		var err error
		if text, err = inflate(text, p.limit); err != nil {
			return err
		}
	}
	if !utf8.Valid(text) {
		return &closeError{ws.StatusInvalidFramePayloadData, "a message is not UTF-8"}
	}
	err := handle(message{ws.OpText, text})
	if cap(p.text) > idleMemory {
		p.text = nil
	}
	return err
}

// checkClose checks the payload of a close frame (RFC 6455 §5.5.1, §7.4).
func checkClose(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if len(b) == 1 {
		return protocolError("a close frame has half a code")
	}
	code := ws.StatusCode(binary.BigEndian.Uint16(b))
	switch {
	case code >= 3000 && code <= 4999:
	case code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006:
	default:
		return protocolError(fmt.Sprintf("%d is no code to close with", code))
	}
	if !utf8.Valid(b[2:]) {
		return &closeError{ws.StatusInvalidFramePayloadData, "the reason of a close is not UTF-8"}
	}
	return nil
}

func tooBig(limit int) error {
	return &closeError{ws.StatusMessageTooBig, fmt.Sprintf("a message is larger than %d bytes", limit)}
}
