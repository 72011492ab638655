package ws

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// A silent socket has no goroutine, and none of that can be told from outside: events, pings, requests and the end are
// as ever, again and again.
func TestASilentSocketNeedsNoGoroutine(t *testing.T) {
	var ended atomic.Int64
	s := openWith(t, nil, func(h *hub.Hub, who roxy.Identity) (*Options, Peer) {
		return &Options{Hub: h, ParkAfter: time.Millisecond}, Peer{Identity: who, Ended: func() { ended.Add(1) }}
	})
	const n = 30
	base := runtime.NumGoroutine()
	parked := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > base+n/2; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d goroutines for %d silent sockets", runtime.NumGoroutine()-base, n)
			}
		}
	}
	var clients []*client
	for range n {
		clients = append(clients, s.connect(t, false))
	}
	parked()
	for round := range 3 {
		for i, c := range clients {
			if _, err := c.Conn.Write(append(frame(0x89, true, "one"), frame(0x89, true, "two")...)); err != nil {
				t.Fatal(err)
			}
			c.want(t, "pong one")
			c.want(t, "pong two")
			c.ask(t, fmt.Sprintf(`{"op":"subscribe","ref":"%d","topic":["orders/*"]}`, i), fmt.Sprintf(`{"ref":"%d","ok":true`, i))
			c.want(t, `[{"id":"`, "roxy:hello")
			c.want(t, `[{"id":"`, "roxy:live")
		}
		parked()
		if _, err := (host{s.Hub}).Commit(t.Context(), s.who, "publish", []byte(`"round"`)); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			c.want(t, `[{"id":"`, `"data":"round"`)
		}
		for i, c := range clients {
			c.ask(t, fmt.Sprintf(`{"op":"unsubscribe","ref":"%d"}`, i), fmt.Sprintf(`{"ref":"%d","ok":true}`, i))
		}
		if list := s.Connections("bar"); len(list) != n {
			t.Fatalf("round %d: the operator sees %d sockets", round, len(list))
		}
		parked()
	}
	for _, c := range clients[:n/2] {
		if _, err := c.Conn.Write(frame(0x88, true, "\x03\xe8")); err != nil {
			t.Fatal(err)
		}
		c.end(t, ws.StatusNormalClosure)
	}
	for _, c := range clients[n/2:] {
		_ = c.Conn.Close()
	}
	for end := time.Now().Add(20 * time.Second); ended.Load() < n && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if got := ended.Load(); got != n {
		t.Errorf("%d of %d ends were told", got, n)
	}
}

// The first half of a message wakes a socket, which waits for the other half with a goroutine.
func TestAMessageInPiecesWakesASocket(t *testing.T) {
	c := open(t, nil).connect(t, false)
	text := frame(0x81, true, `{"op":"ping","ref":"1"}`)
	for i := range text {
		if _, err := c.Conn.Write(text[i : i+1]); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			time.Sleep(3 * time.Millisecond) // so that it would be parked in between, if it could
		}
	}
	c.want(t, `{"ref":"1","ok":true`)
}
