package bench

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// hub is a small one, which does to its streams what its script says.
type hub struct {
	*httptest.Server

	script script
	until  bool // streams are delimited by their end and not chunked
	bytes  bool // each byte is a write of its own

	mu   sync.Mutex
	n    int // events so far
	subs []chan string
}

// script delivers event n, which is all that a stream gets of it. Closing a channel ends its stream.
type script func(n int, event string, streams []chan string)

// all is a hub as it should be.
func all(_ int, event string, streams []chan string) {
	for _, s := range streams {
		s <- event
	}
}

const testStreams = 5

func newHub(t *testing.T, s script) *hub {
	t.Helper()
	h := &hub{script: s}
	for range testStreams {
		h.subs = append(h.subs, make(chan string, 1<<16)) // nothing that a test publishes waits
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sub/{i}", h.stream)
	mux.HandleFunc("POST /pub", h.publish)
	h.Server = httptest.NewServer(mux)
	t.Cleanup(h.Close)
	return h
}

func (h *hub) stream(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(r.PathValue("i"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if h.until {
		w.Header().Set("Transfer-Encoding", "identity")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	write := func(text string) {
		step := len(text)
		if h.bytes {
			step = 1
		}
		for ; text != ""; text = text[min(step, len(text)):] {
			_, _ = io.WriteString(w, text[:min(step, len(text))])
			_ = out.Flush()
		}
	}
	write(": live\n\n")
	for {
		select {
		case event, ok := <-h.subs[i]:
			if !ok {
				write("event: bye\n\n")
				return
			}
			write("data: " + event + "\n\n")
		case <-r.Context().Done():
			return
		}
	}
}

func (h *hub) publish(w http.ResponseWriter, r *http.Request) {
	event, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.script(h.n, string(event), h.subs)
	h.n++
	w.WriteHeader(http.StatusNoContent)
}

// events returns how many were published.
func (h *hub) events() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int64(h.n)
}

// options measure h for a moment.
func (h *hub) options() Options {
	return Options{
		Target: Target{
			Subscribe: Request{URL: h.URL + "/sub/{i}"}, Publish: Request{URL: h.URL + "/pub", Body: "{data}"},
			Ready: "live", Topic: "shared",
		},
		Load: Load{Streams: testStreams, Publishers: 1, Batch: 1, Size: 100, Duration: 200 * time.Millisecond},
	}
}

// markOf returns the mark of an event.
func markOf(event string) (m mark) {
	var s scanner
	s.scan([]byte(event), func(found mark) { m = found })
	return m
}

// refusing answers every request like this.
func refusing(t *testing.T, status int, contentType, body string, header ...string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
