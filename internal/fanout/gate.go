package fanout

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Gate counts the clients' sockets and bounds them, parked ones included: a process has only so many descriptors, and
// its log needs some of them at any moment.
type Gate struct {
	taken chan struct{} // one for each socket
	spare int
	log   *slog.Logger

	failures atomic.Uint64
	told     atomic.Int64 // when the log was told of one, in seconds
}

// tellAgain is how often the log is told that the system has no sockets, in seconds.
const tellAgain = 60

// NewGate returns a Gate for that many sockets. The last spare of them are Surplus: for what is over soon. log is told when
// the system has none to give.
func NewGate(sockets, spare int, log *slog.Logger) *Gate {
	return &Gate{taken: make(chan struct{}, sockets), spare: spare, log: log}
}

// Open returns how many sockets are open.
func (g *Gate) Open() int { return len(g.taken) }

// Max returns how many sockets there may be.
func (g *Gate) Max() int { return cap(g.taken) }

// Failures returns how often the system had no socket for a client that was there: no descriptor, or no memory.
func (g *Gate) Failures() uint64 { return g.failures.Load() }

func (g *Gate) failed(err error) {
	g.failures.Add(1)
	now, told := time.Now().Unix(), g.told.Load()
	if now-told >= tellAgain && g.told.CompareAndSwap(told, now) {
		g.log.Error("clients wait: the system has no socket for them", "error", err)
	}
}

// Listen returns inner behind the gate: while all sockets are taken it accepts none, and clients wait in the kernel's
// queue.
func (g *Gate) Listen(inner net.Listener) net.Listener {
	return &gatedListener{Listener: inner, gate: g, closed: make(chan struct{})}
}

type gatedListener struct {
	net.Listener
	gate   *Gate
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a client, and for a socket that it may have.
func (l *gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if !errors.Is(err, net.ErrClosed) {
			l.gate.failed(err)
		}
		return nil, err
	}
	select {
	case l.gate.taken <- struct{}{}:
	case <-l.closed:
		_ = c.Close() // nobody has heard of it
		return nil, net.ErrClosed
	}
	return &gated{Conn: c, gate: l.gate, surplus: l.gate.Open() > l.gate.Max()-l.gate.spare}, nil
}

// Close ends Accept.
func (l *gatedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// gated is a connection that a Gate counts.
type gated struct {
	net.Conn
	gate    *Gate
	surplus bool
	left    atomic.Bool
}

// Close closes the connection and makes room for another.
func (c *gated) Close() error {
	err := c.Conn.Close()
	if c.left.CompareAndSwap(false, true) {
		c.gate.leave()
	}
	return err
}

// leave makes room for another socket; a nil Gate does not count.
func (g *Gate) leave() {
	if g != nil {
		<-g.taken
	}
}

// Surplus reports whether a Gate let c in as one of the last: it is not to stay.
func Surplus(c net.Conn) bool {
	if over, ok := c.(*tls.Conn); ok {
		if w := wireOf(over); w != nil {
			c = w.Conn
		}
	}
	g, ok := c.(*gated)
	return ok && g.surplus
}
