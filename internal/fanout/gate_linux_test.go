package fanout

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gateway is a Gate before a real listener, with its clients.
type gateway struct {
	*Gate
	net.Listener
	secret *tls.Certificate // nil for cleartext
}

func openGate(t *testing.T, sockets, spare int, secret *tls.Certificate) *gateway {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Gate: NewGate(sockets, spare, slog.New(slog.DiscardHandler)), secret: secret}
	g.Listener = g.Gate.Listen(inner)
	if secret != nil {
		g.Listener = NewTLSListener(g.Listener, &tls.Config{Certificates: []tls.Certificate{*secret}})
	}
	t.Cleanup(func() { _ = g.Close() })
	return g
}

// dial connects a client, which the kernel does whether it is accepted or not.
func (g *gateway) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", g.Addr().String()) //nolint:noctx // as does this
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (g *gateway) accept(t *testing.T) net.Conn {
	t.Helper()
	c, err := g.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (g *gateway) connect(t *testing.T) net.Conn {
	t.Helper()
	theirs := g.dial(t)
	ours := g.accept(t)
	if g.secret == nil {
		return ours
	}
	over := tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // whose it is, is not what is tested
	done := make(chan error, 1)
	go func() { done <- over.HandshakeContext(t.Context()) }()
	if err := errors.Join(ours.(*tls.Conn).HandshakeContext(t.Context()), <-done); err != nil {
		t.Fatal(err)
	}
	return ours
}

func (g *gateway) want(t *testing.T, open int) {
	t.Helper()
	if g.Open() != open {
		t.Fatalf("%d sockets are counted, want %d", g.Open(), open)
	}
}

func TestGateLetsNoMoreInThanItHasRoomFor(t *testing.T) {
	g := openGate(t, 3, 1, nil)
	one := g.connect(t)
	two := g.connect(t)
	three := g.connect(t)
	if Surplus(one) || Surplus(two) || !Surplus(three) {
		t.Error("the last of three is the one to spare")
	}
	g.want(t, 3)
	g.dial(t)
	accepted := make(chan net.Conn)
	go func() {
		c, err := g.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	select {
	case <-accepted:
		t.Fatal("a fourth was let in")
	case <-time.After(50 * time.Millisecond):
	}
	_ = one.Close()
	_ = one.Close() // counts once
	four := <-accepted
	g.want(t, 3)
	for _, c := range []net.Conn{two, three, four} {
		_ = c.Close()
	}
	g.want(t, 0)
}

func TestGateThatIsClosedEndsWhoWaits(t *testing.T) {
	g := openGate(t, 1, 0, nil)
	g.connect(t)
	g.dial(t)
	ended := make(chan error)
	go func() {
		_, err := g.Accept()
		ended <- err
	}()
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	g.want(t, 1)
}

// A socket counts until its last descriptor is closed, whoever has it by then.
func TestGateCountsParkedSockets(t *testing.T) {
	secret := certificate(t)
	for name, secret := range map[string]*tls.Certificate{"cleartext": nil, "TLS": &secret} {
		t.Run(name, func(t *testing.T) {
			g := openGate(t, 10, 5, secret)
			ours := g.connect(t)
			parked := detach(t, ours)
			g.want(t, 1)
			if secret == nil {
				_ = ours.Close() // the server's, who has lost it
			}
			g.want(t, 1)
			parked.close()
			g.want(t, 0)

			ours = g.connect(t)
			resumed, err := detach(t, ours).Conn()
			if err != nil {
				t.Fatal(err)
			}
			if Surplus(resumed) {
				t.Error("it was let in to stay")
			}
			g.want(t, 1)
			parked = detach(t, resumed) // a second time
			g.want(t, 1)
			resumed, err = parked.Conn()
			if err != nil {
				t.Fatal(err)
			}
			_ = resumed.Close()
			g.want(t, 0)
		})
	}
}

// A stream that cannot be parked for want of a second descriptor keeps its goroutine: it does not end.
func TestSocketStaysWhereItIsWithoutADescriptor(t *testing.T) {
	g := openGate(t, 10, 5, nil)
	ours := g.connect(t)
	var was unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: was.Max}, nil); err != nil {
		t.Fatal(err)
	}
	_, ok, err := Detach(ours)
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &was, nil); err != nil {
		t.Fatal(err)
	}
	if ok || err != nil {
		t.Fatalf("taken %t, %v", ok, err)
	}
	if _, err := ours.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	g.want(t, 1)
	_ = ours.Close()
	g.want(t, 0)
}
