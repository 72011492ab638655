package client_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cable is a TCP proxy that cuts each connection after a random number of bytes from the server.
type cable struct {
	address string
	cuts    atomic.Int64
}

// newCable lies before the server at upstream. Each connection carries up to most bytes towards the client.
func newCable(t *testing.T, upstream string, most int64) *cable {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{address: l.Addr().String()}
	rng := rand.New(rand.NewPCG(7, 7)) // the same cuts each time, as far as the scheduler allows
	ctx := t.Context()
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			budget := rng.Int64N(most)
			serving.Go(func() { c.carry(ctx, near, upstream, budget) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return c
}

func (c *cable) carry(ctx context.Context, near net.Conn, upstream string, budget int64) {
	defer func() { _ = near.Close() }()
	var dialer net.Dialer
	far, err := dialer.DialContext(ctx, "tcp", upstream)
	if err != nil {
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(far, near)
		_ = far.Close() // the client has gone; the server would notice at its next heartbeat
	})
	if n, _ := io.CopyN(near, far, budget); n == budget {
		c.cuts.Add(1)
		if budget%2 == 0 { // half of the cuts are resets, which may take bytes on their way with them
			_ = near.(*net.TCPConn).SetLinger(0)
		}
	}
	_ = near.Close()
	_ = far.Close()
	up.Wait()
}
