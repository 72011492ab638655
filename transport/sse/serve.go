package sse

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
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

	mu   sync.Mutex
	conn net.Conn // nil while the server has it
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
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.control.Flush()
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
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
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

// SetDeadline bounds writes where the server can (all of net/http's can); elsewhere a stuck socket ends with its
// connection.
func (s *response) SetDeadline(t time.Time) {
	if c := s.Conn(); c != nil {
		_ = c.SetWriteDeadline(t) // fails on a closed connection, where writing does too
		return
	}
	_ = s.control.SetWriteDeadline(t)
}
