package ws

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/roxyhub/roxy/hub"
)

const (
	readBuffer = 4 << 10
	// replyTime bounds the writing of an answer, as long as the hub bounds that of an event.
	replyTime = 10 * time.Second
	// closeTime is how long the client may take to answer a close frame.
	closeTime = time.Second
	// messageTime is how long a client may take to send one message.
	messageTime = 30 * time.Second
)

// errOver says that the connection is closed or closing.
var errOver = errors.New("ws: the connection is over")

// errParked says that the hub has the connection now.
var errParked = errors.New("ws: the connection is parked")

// socket is a connection with two goroutines: one reads and handles what is read, the other runs the stream. Both write,
// whole frames at a time. When the client has been silent for a while, both end and the hub parks the connection; what
// the client says then starts them again (parked.go).
type socket struct {
	opts *Options
	w    http.ResponseWriter // until the handshake is answered, as r
	r    *http.Request
	conn upgraded

	write sync.Mutex // held while writing
	over  bool       // a close frame was sent, or a write failed: nothing may follow; guarded by write

	mu       sync.Mutex
	opened   bool      // conn is there
	deadline time.Time // for writes, as the hub wants it
	closing  bool      // only the client's close frame is waited for
	yielded  bool      // nobody reads: the hub may have conn
	parked   bool      // the hub has it

	// Owned by the reading goroutine.
	running *running
	parser  parser
	session session

	left sync.Once
}

// running is a stream on its way.
type running struct {
	stop   context.CancelFunc
	halted bool          // by us; guarded by socket.mu
	done   chan struct{} // closed when it is over
	err    error         // what Subscribe returned
}

// Serve answers r, which Check let pass, with a socket for peer until that ends, or is parked: peer.Ended tells when it is
// over. An error, a *roxy.Problem, comes before the first byte and is the caller's to answer; after it nil is
// returned, however the socket ended.
func Serve(w http.ResponseWriter, r *http.Request, opts *Options, peer Peer) error {
	ctx := context.WithoutCancel(r.Context())
	s := &socket{opts: opts, w: w, r: r}
	s.session = session{opts: opts, peer: peer, out: s, id: hub.NewConnectionID()}
	if err := s.session.start(ctx); err != nil {
		if errors.Is(err, errOver) { // the handshake could not be answered
			s.leave()
			return nil
		}
		return err
	}
	s.parser = parser{limit: opts.MaxMessage, deflate: s.conn.deflate}
	s.listen(ctx)
	return nil
}

// listen handles what the client sends until the connection ends or is parked.
func (s *socket) listen(ctx context.Context) {
	err := s.read(func(m message) error { return s.handle(ctx, m) })
	if errors.Is(err, errParked) {
		return
	}
	s.farewell(err)
	_ = s.conn.Close() // a stuck write ends by it
	s.halt()
	s.leave()
}

// halt ends the stream.
func (s *socket) halt() {
	s.mu.Lock()
	s.running.halted = true
	s.mu.Unlock()
	s.running.stop()
	<-s.running.done
}

// leave tells whom it concerns that the socket is over.
func (s *socket) leave() {
	if s.session.peer.Ended != nil {
		s.left.Do(s.session.peer.Ended)
	}
}

// stream implements outlet.
func (s *socket) stream(ctx context.Context, sub hub.Subscription, answer []byte) error {
	if s.running != nil {
		s.halt()
	}
	ctx, stop := context.WithCancel(ctx)
	out := &sink{socket: s, begun: make(chan struct{})}
	if answer != nil {
		out.first = appendFrame(nil, ws.OpText, answer)
	}
	run := &running{stop: stop, done: make(chan struct{})}
	s.running = run
	sub.Ended = func() { s.streamEnded(run) }
	go func() {
		if err := s.opts.Hub.Subscribe(ctx, sub, out); err != nil { // it never began
			run.err = err
			close(run.done)
		}
	}()
	select {
	case <-out.begun:
		return nil
	case <-run.done:
		return cmp.Or(run.err, errOver)
	}
}

// streamEnded follows the end of a stream that began.
func (s *socket) streamEnded(run *running) {
	s.mu.Lock()
	parked, halted := s.parked, run.halted
	s.mu.Unlock()
	switch {
	case parked: // its socket is closed, and nobody is there to hear of it
		s.leave()
	case !halted:
		s.ended()
	}
	close(run.done)
}

// ended begins the end of a socket whose stream the hub has ended: it has said so, or could not read its log.
func (s *socket) ended() {
	s.send(appendClose(nil, ws.StatusInternalServerError, "the stream cannot go on"), true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTime))
}

// reply implements outlet.
func (s *socket) reply(answer []byte) { s.send(appendFrame(nil, ws.OpText, answer), false) }

// send writes frames of the socket's own; last says that nothing may follow.
func (s *socket) send(frames []byte, last bool) {
	s.write.Lock()
	defer s.write.Unlock()
	if s.over {
		return
	}
	s.over = last
	// The hub moves its deadline when it writes: that of a quiet stream has passed.
	s.SetDeadline(time.Now().Add(replyTime))
	if _, err := s.conn.Write(frames); err != nil {
		s.over = true
	}
}

// SetDeadline implements hub.Sink.
func (s *socket) SetDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	if s.opened {
		_ = s.conn.SetWriteDeadline(t)
	}
}

// open completes the handshake.
func (s *socket) open() error {
	conn, err := upgrade(s.w, s.r, !s.opts.NoCompression)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.opened, s.w, s.r = conn, true, nil, nil // with them goes what the server keeps for a request
	return s.conn.SetWriteDeadline(s.deadline)
}

// sink is the way out of one stream.
type sink struct {
	*socket
	first []byte // goes before the first event
	begun chan struct{}
	once  bool
}

// Write sends whole frames.
func (o *sink) Write(p []byte) error {
	o.write.Lock()
	defer o.write.Unlock()
	if o.over {
		return errOver
	}
	if !o.once {
		if !o.opened { // the first stream opens it, and there is no other yet
			if err := o.open(); err != nil {
				o.over = true
				return err
			}
		}
		o.once = true
		defer close(o.begun)
		p = append(o.first, p...)
	}
	if len(p) == 0 {
		return nil
	}
	o.over = saysBye(p)
	if _, err := o.conn.Write(p); err != nil {
		o.over = true
		return fmt.Errorf("ws: write: %w", err)
	}
	return nil
}

// read handles what the client sends until the connection ends or is parked, and returns why.
func (s *socket) read(handle func(message) error) error {
	if err := s.parser.feed(s.conn.early, handle); err != nil {
		return err
	}
	s.conn.early = nil
	every, parkAfter := cmp.Or(s.opts.PingEvery, 30*time.Second), cmp.Or(s.opts.ParkAfter, time.Second)
	buf := make([]byte, readBuffer)
	heard, patience := time.Now(), parkAfter
	var asked bool      // a ping waits for a sign of life
	var since time.Time // when the message in hand began
	for {
		s.wait(min(patience, every))
		n, err := s.conn.Read(buf)
		if n > 0 {
			heard, asked, patience = time.Now(), false, parkAfter
			if err := s.parser.feed(buf[:n], handle); err != nil {
				return err
			}
		}
		silent := time.Since(heard)
		if err != nil {
			patience *= 2 // what could not be parked now can perhaps later, or never
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded) || s.isClosing():
			return err
		case silent >= parkAfter && !asked && s.park():
			return errParked
		case !asked && silent >= every:
			heard, asked = time.Now(), true
			s.send(appendFrame(nil, ws.OpPing, nil), false)
		case asked && silent >= every:
			return &closeError{codeSilent, "a ping was not answered"}
		}
		switch {
		case !s.parser.busy():
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) > messageTime:
			return &closeError{ws.StatusPolicyViolation, fmt.Sprintf("a message took longer than %s", messageTime)}
		}
	}
}

// wait bounds the next read.
func (s *socket) wait(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing { // then the bound stands
		_ = s.conn.SetReadDeadline(time.Now().Add(d))
	}
}

func (s *socket) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

// handle takes one message of the client.
func (s *socket) handle(ctx context.Context, m message) error {
	switch m.op {
	case ws.OpPing:
		s.send(appendFrame(nil, ws.OpPong, m.payload), false)
	case ws.OpPong:
	case ws.OpClose:
		echo := &closeError{}
		if len(m.payload) >= 2 {
			echo.code = ws.StatusCode(binary.BigEndian.Uint16(m.payload))
		}
		return echo
	default:
		if s.isClosing() {
			return nil
		}
		return s.session.handle(ctx, m.payload, s.encoding())
	}
	return nil
}

func (s *socket) encoding() hub.Encoding {
	if s.conn.deflate {
		return Deflate{}
	}
	return Encoding{}
}

// farewell sends the close frame that goes with why the reading ended, if there is one to send.
func (s *socket) farewell(err error) {
	why, ok := errors.AsType[*closeError](err)
	if !ok {
		return // nobody is there
	}
	if why.code == 0 {
		s.send(appendFrame(nil, ws.OpClose, nil), true)
	} else {
		s.send(appendClose(nil, why.code, why.reason), true)
	}
	if why.reason == "" {
		return // it was the client's close, and both sides have had their say
	}
	s.linger()
}

// linger reads what the client still sends, so that the kernel does not answer it by a reset, which would take the close
// frame away from under it.
func (s *socket) linger() {
	if tcp, ok := s.conn.Conn.(interface{ CloseWrite() error }); ok {
		_ = tcp.CloseWrite() // the client need not wait for us
	}
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTime))
	_, _ = io.Copy(io.Discard, s.conn)
}
