package sse

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/roxyhub/roxy/hub"
)

// Serve answers r with the stream that sub asks for, compressed when it says so, until it ends. An error, a *roxy.Problem, comes before the first
// byte and is the caller's to answer; after it nil is returned, however the stream ended.
func Serve(w http.ResponseWriter, r *http.Request, h *hub.Hub, sub hub.Subscription) error {
	sub.Encoding, sub.Transport = Encoding{}, "sse"
	return h.Subscribe(r.Context(), sub, &response{w: w, r: r, gzip: sub.Gzip, control: http.NewResponseController(w)})
}

// Refuse answers an EventSource that is turned away for load alone. A browser takes every status but 200 as final, so
// it is told to come back later in a stream of one event. after is the earliest it should.
func Refuse(w http.ResponseWriter, after time.Duration) {
	retry := max(after, time.Second)
	retry += rand.N(retry) //nolint:gosec // spreads load, guards nothing
	head(w.Header(), false)
	w.WriteHeader(http.StatusOK)
	// The client may be gone: nobody is left to tell.
	_, _ = w.Write(Encoding{}.AppendControl(nil, hub.Control{
		Type: "roxy:bye", Retry: retry, Data: hub.Bye{Reason: hub.Overload, Retry: retry.Milliseconds()},
	}))
}

// head is what every stream's response says. X-Accel-Buffering keeps nginx from holding the stream back, no-transform a
// proxy from compressing it.
func head(h http.Header, gzip bool) {
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform")
	h.Set("X-Accel-Buffering", "no")
	h.Add("Vary", "Accept-Encoding")
	if gzip {
		h.Set("Content-Encoding", "gzip")
	}
}

// response is the way out. On an HTTP/1 connection it takes the connection from the server, so that the hub can park it;
// elsewhere a goroutine writes to the http.ResponseWriter.
type response struct {
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	gzip    bool
	begun   bool

	mu       sync.Mutex
	conn     net.Conn    // nil while the server has it
	deadline time.Time   // of writes; zero for none
	writing  bool        // by the server
	watch    *time.Timer // over the deadline while the server writes
}

// Conn returns the connection once it was taken from the server.
func (s *response) Conn() net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn
}

// Write sends the head before the first bytes, and flushes.
func (s *response) Write(p []byte) error {
	if !s.begun {
		s.begun = true
		if err := s.begin(); err != nil {
			return err
		}
	}
	if c := s.Conn(); c != nil {
		_, err := c.Write(p)
		return err
	}
	if !s.enter() {
		return os.ErrDeadlineExceeded
	}
	defer s.leave()
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.control.Flush()
}

// enter begins a write by the server, unless its time is over.
func (s *response) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = s.deadline.IsZero() || time.Now().Before(s.deadline)
	return s.writing
}

func (s *response) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
}

// begin takes the connection, where it can be had, and sends the head. The body ends with the connection, in HTTP/1.1 as
// in HTTP/1.0 (RFC 9112 §6.3): the same bytes serve both, without chunks.
func (s *response) begin() error {
	h := s.w.Header()
	head(h, s.gzip)
	if s.r.ProtoMajor != 1 {
		s.w.WriteHeader(http.StatusOK)
		return nil
	}
	conn, buffered, err := s.control.Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		s.w.WriteHeader(http.StatusOK)
		return nil
	}
	if err != nil {
		return err
	}
	if err := s.take(conn); err != nil {
		return err
	}
	if buffered.Reader.Buffered() > 0 {
		_ = conn.Close()
		return errors.New("sse: the client sent another request behind the one for a stream")
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil { // the server stops its own reading with one in the past
		return err
	}
	h.Set("Connection", "close")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var text bytes.Buffer
	text.WriteString("HTTP/1.1 200 OK\r\n")
	if err := h.Write(&text); err != nil {
		return err
	}
	text.WriteString("\r\n")
	_, err = conn.Write(text.Bytes())
	return err
}

// take goes on with a connection that is no longer the server's, which has lifted its deadlines.
func (s *response) take(conn net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = conn
	if s.watch != nil {
		s.watch.Stop()
	}
	return conn.SetWriteDeadline(s.deadline)
}

// SetDeadline bounds writes where the server can (all of net/http's can); elsewhere a stuck socket ends with its
// connection. The server is not told before a write is overdue: over HTTP/2 a deadline that passes ends the stream, even
// when nothing is written.
func (s *response) SetDeadline(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	switch {
	case s.conn != nil:
		_ = s.conn.SetWriteDeadline(t) // fails on a closed connection, where writing does too
	case s.watch == nil:
		if !t.IsZero() {
			s.watch = time.AfterFunc(time.Until(t), s.expire)
		}
	case t.IsZero():
		s.watch.Stop()
	default:
		s.watch.Reset(time.Until(t))
	}
}

// expire fails the write in progress when its time is over. While there is one the server's handler has not returned, and
// may be spoken to.
func (s *response) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing && !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
		_ = s.control.SetWriteDeadline(s.deadline)
	}
}
