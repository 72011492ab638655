package sse

import (
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/roxyhub/roxy/hub"
)

// Serve answers r with the stream that sub asks for, until it ends. An error, a *roxy.Problem, comes before the first
// byte and is the caller's to answer; after it nil is returned, however the stream ended.
func Serve(w http.ResponseWriter, r *http.Request, h *hub.Hub, sub hub.Subscription) error {
	sub.Encoding, sub.Transport = Encoding{}, "sse"
	return h.Subscribe(r.Context(), sub, &response{w: w, control: http.NewResponseController(w)})
}

// Refuse answers an EventSource that is turned away for load alone. A browser takes every status but 200 as final, so
// it is told to come back later in a stream of one event. after is the earliest it should.
func Refuse(w http.ResponseWriter, after time.Duration) {
	retry := max(after, time.Second)
	retry += rand.N(retry) //nolint:gosec // spreads load, guards nothing
	begin(w)
	// The client may be gone: nobody is left to tell.
	_, _ = w.Write(Encoding{}.AppendControl(nil, hub.Control{
		Type: "roxy:bye", Retry: retry, Data: hub.Bye{Reason: hub.Overload, Retry: retry.Milliseconds()},
	}))
}

// begin sends the head of a stream's response. X-Accel-Buffering keeps nginx from holding the stream back.
func begin(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
}

// response is the portable way out: a goroutine that writes to an http.ResponseWriter.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

// Write sends the head before the first bytes, and flushes.
func (s *response) Write(p []byte) error {
	if !s.begun {
		s.begun = true
		begin(s.w)
	}
	if _, err := s.w.Write(p); err != nil {
		return err
	}
	return s.control.Flush()
}

// SetDeadline bounds writes where the server can (all of net/http's can); elsewhere a stuck socket ends with its
// connection.
func (s *response) SetDeadline(t time.Time) { _ = s.control.SetWriteDeadline(t) }
