package ws

import (
	"context"
	"net"

	"github.com/gobwas/ws"
)

// park lets the hub have the connection, and reports whether it took it. Then the socket has no goroutine until Resume.
func (s *socket) park() bool {
	if s.parser.busy() {
		return false
	}
	s.yield(true)
	parked := s.opts.Hub.Park(s.session.id)
	if !parked {
		s.yield(false)
	}
	return parked
}

// yield says whether the hub may have the connection.
func (s *socket) yield(to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.yielded, s.parked = to, to
}

// Conn implements hub.ConnSink.
func (s *socket) Conn() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.yielded {
		return nil
	}
	return s.conn.Conn
}

// Received implements hub.Conversation: pings are answered and pongs taken where the connection is parked; all else, the
// other half of a message too, takes goroutines.
func (s *socket) Received(p []byte) (reply []byte, wake bool) {
	for len(p) > 0 {
		if len(p) < 6 || p[1]&maskBit == 0 {
			return nil, true
		}
		n, op := int(p[1]&lenBits), ws.OpCode(p[0]&opBits)
		if p[0]&(finBit|rsvBits) != finBit || n > maxControl || len(p) < 6+n || op != ws.OpPing && op != ws.OpPong {
			return nil, true
		}
		if op == ws.OpPing {
			start := len(reply) + 2
			reply = appendFrame(reply, ws.OpPong, p[6:6+n])
			ws.Cipher(reply[start:], [4]byte(p[2:6]), 0)
		}
		p = p[6+n:]
	}
	return reply, false
}

// Resume implements hub.Conversation.
func (s *socket) Resume(c net.Conn) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn.Conn = c
	s.yielded, s.parked = false, false
	ctx, cancel := context.WithCancel(context.Background()) // the handshake's is long over
	s.running.stop = cancel
	return ctx
}

// Listen implements hub.Conversation.
func (s *socket) Listen(received []byte) {
	s.conn.early = received
	go s.listen(context.Background())
}
