package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/roxyhub/roxy/internal/testkit"
)

// relay passes bytes between clients and a hub as they are, and keeps the heads of the answers.
type relay struct {
	URL string

	mu    sync.Mutex
	heads []http.Header
	conns map[net.Conn]bool // the clients' sides
}

// startRelay runs one until the test ends.
func startRelay(t *testing.T, hub *testkit.Hub) *relay {
	t.Helper()
	to, err := url.Parse(hub.URL)
	if err != nil {
		t.Fatal(err)
	}
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &relay{URL: "http://" + l.Addr().String(), conns: map[net.Conn]bool{}}
	var pairs sync.WaitGroup
	pairs.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return // closed below
			}
			var dial net.Dialer
			far, err := dial.DialContext(ctx, "tcp", to.Host)
			if err != nil {
				_ = near.Close()
				continue
			}
			stop := context.AfterFunc(ctx, func() {
				_ = near.Close()
				_ = far.Close()
			})
			r.mu.Lock()
			r.conns[near] = true
			r.mu.Unlock()
			pairs.Go(func() {
				defer stop()
				r.pass(near, far)
				r.mu.Lock()
				delete(r.conns, near)
				r.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		pairs.Wait()
	})
	return r
}

// pass copies both ways until either side ends.
func (r *relay) pass(near, far net.Conn) {
	var ways sync.WaitGroup
	head, beginning := io.Pipe()
	ways.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	})
	ways.Go(func() {
		_, _ = io.Copy(io.MultiWriter(near, beginning), far)
		_ = near.Close()
		_ = beginning.Close()
	})
	ways.Go(func() {
		if answer, err := http.ReadResponse(bufio.NewReader(head), nil); err == nil {
			r.mu.Lock()
			r.heads = append(r.heads, answer.Header)
			r.mu.Unlock()
			_ = answer.Body.Close()
		}
		_, _ = io.Copy(io.Discard, head)
	})
	ways.Wait()
}

// cut ends one connection, as a network does that is gone: what was on its way either way may be lost.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for near := range r.conns { // the first is as good as any
		_ = near.Close()
		return
	}
}

// count tells how many answers had the header with a value that begins so.
func (r *relay) count(header, value string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.heads {
		for _, v := range h.Values(header) {
			if strings.HasPrefix(v, value) {
				n++
			}
		}
	}
	return n
}
