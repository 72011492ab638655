package client

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

// socket is a hub that answers the nth connection with the bytes of reply(n, its request) and then cuts it.
func socket(t *testing.T, reply func(n int, req *http.Request) string) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err != nil {
					return
				}
				body, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				req.Body = io.NopCloser(strings.NewReader(string(body)))
				_, _ = io.WriteString(conn, reply(n, req))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return "http://" + l.Addr().String()
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n"

// chunk frames s as one chunk; with no closing chunk the connection's end is a cut.
func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// quick is for tests whose subject is not how long a client waits.
func quick() Backoff {
	return Backoff{Base: time.Microsecond, Max: time.Microsecond, Floor: time.Microsecond}
}

// ownTransport keeps the connections of a test to itself and closes them behind it.
func ownTransport(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Wherever a connection is cut, in the head, between events or inside one, each event comes exactly once.
func TestSubscribeLosesAndRepeatsNothingWhereverTheCableIsCut(t *testing.T) {
	const events = 3
	tail := func(after int) string {
		var s strings.Builder
		s.WriteString(chunk(hello(fmt.Sprintf("e.%d", after))))
		for n := after + 1; n <= events; n++ {
			s.WriteString(chunk(event(n)))
		}
		return streamHead + s.String() + chunk(live(fmt.Sprintf("e.%d", events), events-after))
	}
	whole := tail(0)
	for cut := range len(whole) {
		url := socket(t, func(n int, req *http.Request) string {
			if n == 0 {
				return whole[:cut]
			}
			after := 0
			if id := req.Header.Get("Last-Event-ID"); id != "" {
				after = int(cursor(t, id).Offset)
			}
			return tail(after)
		})
		c := mustNew(t, Options{URL: url, Backoff: quick(), HTTPClient: ownTransport(t)})
		var got []string
		for m, err := range c.Subscribe(t.Context(), Subscription{Patterns: []roxy.Pattern{orders(t)}, Earliest: true}) {
			if err != nil {
				t.Fatalf("cut at byte %d: %v", cut, err)
			}
			if _, ok := m.(Live); ok {
				break
			}
			got = append(got, word(m))
		}
		if want := []string{"e.1", "e.2", "e.3"}; !slices.Equal(got, want) {
			t.Fatalf("cut at byte %d: got %q, want %q", cut, got, want)
		}
	}
}
