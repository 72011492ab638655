package fanout

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

const (
	// maxRecord is how much of a stream is sealed at once: what fits into one record. A socket that takes nothing keeps
	// one at most.
	maxRecord = 16 << 10
	// maxRest bounds what waits for a parked socket: a record, and what crypto/tls answers to the client's. More is due to
	// somebody who asks for new keys and does not read.
	maxRest = maxRecord + 4<<10
)

// errUnread says that a client lets crypto/tls answer and does not read the answers.
var errUnread = errors.New("fanout: too many answers wait for a TLS client that does not read")

// NewTLSListener is tls.NewListener for connections that can be parked (Detach). inner gives TCP connections; config is
// cloned, and batches go out in records as large as they can be. A config of GetConfigForClient's decides that for itself
// (DynamicRecordSizingDisabled).
func NewTLSListener(inner net.Listener, config *tls.Config) net.Listener {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true // records of a segment's size cost a system call each
	return &tlsListener{inner, config}
}

type tlsListener struct {
	net.Listener
	config *tls.Config
}

// Accept returns a *tls.Conn: net/http looks for that when it is to speak HTTP/2.
func (l *tlsListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c}
	w.over = tls.Server(w, l.config)
	return w.over, nil
}

// wire is what a tls.Conn runs over. While a goroutine has the connection it blocks as any does. While it is parked it
// never blocks, and never fails for that: an error, and a short write, are for ever to crypto/tls. What the kernel does not
// take is kept, and when it has nothing to read that is called a timeout, the one error that crypto/tls forgets.
type wire struct {
	net.Conn           // nil while parked
	over     *tls.Conn // who writes to us

	socket Socket // while parked, as a cleartext one
	rest   []byte // sealed, and not taken by the kernel yet
	sealed int    // how much of what is to be written next is in rest already
}

// wireOf returns what c runs over when it is of NewTLSListener's, else nil.
func wireOf(c net.Conn) *wire {
	switch c := c.(type) {
	case *tls.Conn:
		w, _ := c.NetConn().(*wire)
		return w
	case *resumed:
		return c.wire
	}
	return nil
}

// park takes the socket out of Go's hands, as Detach says.
func (w *wire) park() (s Socket, ok bool, err error) {
	if !w.over.ConnectionState().HandshakeComplete {
		return Socket{}, false, errors.New("a connection without a TLS handshake cannot be parked")
	}
	s, ok, err = Detach(w.Conn)
	if !ok || err != nil {
		return s, ok, err
	}
	w.Conn, w.socket = nil, s
	s.tls = w
	return s, true, nil
}

// resume undoes park over another connection of Go's for the same socket.
func (w *wire) resume(c net.Conn) net.Conn {
	w.Conn, w.socket = c, Socket{}
	if w.sealed == 0 {
		return w.over
	}
	return &resumed{w.over, w}
}

// resumed is a connection that was released with something pending: that is the first thing written to it, and its
// beginning is sealed already.
type resumed struct {
	*tls.Conn
	wire *wire
}

// Write sends p.
func (r *resumed) Write(p []byte) (int, error) {
	n := min(r.wire.sealed, len(p))
	if n == 0 {
		return r.Conn.Write(p)
	}
	if err := r.wire.settle(); err != nil {
		return 0, err
	}
	r.wire.sealed = 0
	m, err := r.Conn.Write(p[n:])
	return n + m, err
}

// send seals as much of p as one record holds and gives it to the kernel. n stays 0 until the kernel has all of it: the
// next p begins with the same bytes, and they are not sealed again.
func (w *wire) send(p []byte) (n int, full bool, err error) {
	if w.sealed == 0 {
		n, err = w.over.Write(p[:min(len(p), maxRecord)])
		if len(w.rest) == 0 || err != nil {
			return n, false, err
		}
		w.sealed = n
		return 0, true, nil
	}
	if full, err = w.flush(); full || err != nil {
		return 0, full, err
	}
	n, w.sealed = w.sealed, 0
	return n, false, nil
}

// receive takes what the client has sent: nothing when there is nothing now. What is not the stream's but crypto/tls's is
// seen to on the way.
func (w *wire) receive(p []byte) (int, error) {
	n, err := w.over.Read(p)
	if n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil // an end behind something comes again
	}
	return n, err
}

// flush gives the kernel what crypto/tls had to say and could not, when there is nothing else to send.
func (s Socket) flush() error {
	if s.tls == nil {
		return nil
	}
	_, err := s.tls.flush()
	return err
}

// flush gives the kernel what it did not take; full says that it takes no more.
func (w *wire) flush() (full bool, err error) {
	for len(w.rest) > 0 {
		n, full, err := w.socket.write(w.rest)
		if w.rest = w.rest[n:]; full || err != nil {
			return full, err
		}
	}
	w.rest = nil
	return false, nil
}

// bye tells the peer that nothing follows, if there is room for that.
func (w *wire) bye() {
	_ = w.over.Close()
	_, _ = w.flush()
}

// settle waits until all of the rest has left.
func (w *wire) settle() error {
	if len(w.rest) == 0 {
		return nil
	}
	n, err := w.Conn.Write(w.rest)
	w.rest = w.rest[n:]
	return err
}

// Write takes all of p, parked or not.
func (w *wire) Write(p []byte) (int, error) {
	if w.Conn != nil {
		if err := w.settle(); err != nil {
			return 0, err
		}
		return w.Conn.Write(p)
	}
	unsent := p
	for len(w.rest) == 0 && len(unsent) > 0 {
		n, full, err := w.socket.write(unsent)
		if err != nil {
			return 0, err
		}
		if unsent = unsent[n:]; full {
			break
		}
	}
	if len(w.rest)+len(unsent) > maxRest {
		return 0, errUnread
	}
	w.rest = append(w.rest, unsent...)
	return len(p), nil
}

// Read waits for the client, unless the connection is parked.
func (w *wire) Read(p []byte) (int, error) {
	if w.Conn != nil {
		return w.Conn.Read(p)
	}
	n, err := w.socket.read(p)
	if n == 0 && err == nil {
		return 0, os.ErrDeadlineExceeded
	}
	return n, err
}

// SetWriteDeadline does nothing to a parked connection, which does not wait.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.Conn != nil {
		return w.Conn.SetWriteDeadline(t)
	}
	return nil
}

// SetReadDeadline fails on a parked connection: whoever calls it does not know that it is the shard's.
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.Conn != nil {
		return w.Conn.SetReadDeadline(t)
	}
	return net.ErrClosed
}

// SetDeadline is SetReadDeadline for both directions.
func (w *wire) SetDeadline(t time.Time) error {
	if w.Conn != nil {
		return w.Conn.SetDeadline(t)
	}
	return net.ErrClosed
}

// Close closes the connection, unless it is parked: then the descriptor is the shard's to close.
func (w *wire) Close() error {
	if w.Conn != nil {
		return w.Conn.Close()
	}
	return nil
}
