package fanout

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/deflate"
)

func limits() Limits { return Limits{Bytes: 64 << 20, Frames: 1 << 20} }

// Records that leave in pieces, because the far end has room for a few hundred bytes only, come whole and in order.
func TestSecureStreamGetsEveryFrameInOrderThroughANarrowSocket(t *testing.T) {
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			p := startParker(t)
			l := NewLog(limits())
			ours, theirs := securePair(t, certificate(t), version, true)
			o := newOwner()
			r := l.Join()
			parked := p.Park(detach(t, ours), r, o, nil, time.Now().Add(time.Hour))
			var want bytes.Buffer
			for n := range 400 {
				frame := fmt.Appendf(nil, "<%d:%s>", n, bytes.Repeat([]byte("x"), n*n%40_000))
				_, _ = want.Write(frame)
				if n%7 == 0 {
					r.Private(frame, deflate.Sum{}, uint64(n+1), 0)
				} else {
					l.Append(frame, uint64(n+1), 0)
				}
				if n%3 == 0 {
					l.Wake(n%2 == 0)
					parked.Poke()
				}
			}
			l.Wake(false)
			got := make([]byte, want.Len())
			for at := 0; at < len(got); {
				n, err := theirs.Read(got[at:min(at+1+at%5000, len(got))])
				if err != nil {
					t.Fatal(err)
				}
				at += n
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Error("what came is not what was sent")
			}
		})
	}
}

// What a client says to crypto/tls is answered there, while a record is stuck half way too; what it says to the stream is
// dropped; and the stream goes on under the new keys.
func TestSecureStreamGoesOnUnderNewKeys(t *testing.T) {
	for _, narrow := range []bool{false, true} {
		t.Run(fmt.Sprintf("narrow=%t", narrow), func(t *testing.T) {
			p := startParker(t)
			l := NewLog(limits())
			ours, theirs := securePair(t, certificate(t), tls.VersionTLS13, narrow)
			o := newOwner()
			p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
			client := theirs.craft(t, 0)
			var want bytes.Buffer
			// Sixteen updates in all: crypto/tls as a client refuses more than so many answers in a row, and how many of them
			// come before a frame is up to the machine.
			for n := range 12 {
				for i := range 5 {
					frame := fmt.Appendf(nil, "<%d.%d:%s>", n, i, bytes.Repeat([]byte("x"), n*500))
					_, _ = want.Write(frame)
					l.Append(frame, uint64(5*n+i+1), 0)
					l.Wake(false)
				}
				switch n % 3 {
				case 0:
					client.send(t, client.keyUpdate(t))
				case 1:
					client.send(t, client.record(t, applicationData, []byte("a few words")), client.keyUpdate(t), client.keyUpdate(t))
				case 2: // in pieces
					for _, b := range append(client.keyUpdate(t), client.record(t, applicationData, []byte("more"))...) {
						client.send(t, []byte{b})
					}
				}
				if n%4 == 3 {
					got := make([]byte, want.Len())
					if _, err := io.ReadFull(theirs, got); err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got, want.Bytes()) {
						t.Fatal("what came is not what was sent")
					}
					want.Reset()
				}
			}
			select {
			case why := <-o.closed:
				t.Errorf("closed because %d", why)
			default:
			}
		})
	}
}

// A client may ask for new keys and never read: what it is owed has an end.
func TestSecureClientThatAsksAndDoesNotReadIsClosed(t *testing.T) {
	p := startParker(t)
	l := NewLog(limits())
	ours, theirs := securePair(t, certificate(t), tls.VersionTLS13, true)
	o := newOwner()
	p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
	l.Append(make([]byte, 1<<20), 1, 0)
	l.Wake(false)
	client := theirs.craft(t, 0)
	for {
		record := append(client.record(t, applicationData, []byte("?")), client.keyUpdate(t)...)
		if _, err := theirs.tcp.Write(record); err != nil {
			break
		}
		select {
		case why := <-o.closed:
			if why != Peer {
				t.Errorf("closed because %d", why)
			}
			return
		default:
		}
	}
	if why := receive(t, "close", o.closed); why != Peer {
		t.Errorf("closed because %d", why)
	}
}

func TestSecurePeerThatLeavesInAnyWayIsClosed(t *testing.T) {
	p := startParker(t)
	l := NewLog(limits())
	for name, leave := range map[string]func(theirs *far){
		"says so":               func(f *far) { _ = f.CloseWrite() },
		"says so and closes":    func(f *far) { _ = f.Close() },
		"closes without a word": func(f *far) { _ = f.tcp.Close() },
		"resets": func(f *far) {
			_ = f.tcp.SetLinger(0)
			_ = f.tcp.Close()
		},
		"talks too much":     func(f *far) { _, _ = f.Write(make([]byte, 100<<10)) },
		"talks no TLS":       func(f *far) { _, _ = f.tcp.Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
		"sends a bad record": func(f *far) { _, _ = f.tcp.Write([]byte("\x17\x03\x03\x00\x20 this is thirty-two bytes long...")) },
	} {
		for version, number := range versions() {
			t.Run(name+", "+version, func(t *testing.T) {
				ours, theirs := securePair(t, certificate(t), number, false)
				o := newOwner()
				p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
				leave(theirs)
				if why := receive(t, "close", o.closed); why != Peer {
					t.Errorf("closed because %d", why)
				}
			})
		}
	}
}

// crypto/tls reads ahead: what it has by then is not the kernel's to tell of.
func TestGoodbyeThatWasReadBeforeParkingIsHeard(t *testing.T) {
	p := startParker(t)
	l := NewLog(limits())
	ours, theirs := securePair(t, certificate(t), tls.VersionTLS13, false)
	client := theirs.craft(t, 0)
	client.send(t, client.record(t, applicationData, []byte("GET")), client.closeNotify(t))
	if n, err := ours.Read(make([]byte, 10)); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	o := newOwner()
	p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
	if why := receive(t, "close", o.closed); why != Peer {
		t.Errorf("closed because %d", why)
	}
}

func TestSecureStreamEndsWithAGoodbyeOfTLS(t *testing.T) {
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			p := startParker(t)
			l := NewLog(limits())
			ours, theirs := securePair(t, certificate(t), version, false)
			o := newOwner()
			o.when(func(now time.Time, _ bool) ([]byte, time.Time, bool) { return []byte("bye\n"), now, true })
			p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour)).Poke()
			text, err := io.ReadAll(theirs)
			if err != nil || string(text) != "bye\n" {
				t.Errorf("%q, %v", text, err)
			}
			if theirs.closed.Load() {
				t.Error("TCP ended first: a client cannot tell that from an attack")
			}
			if why := receive(t, "close", o.closed); why != Last {
				t.Errorf("closed because %d", why)
			}
		})
	}
}

// A reader that takes nothing costs one record. Released, it goes on where it was, and can be parked again.
func TestSecureReaderThatTakesNothingIsReleasedWithTheRestOfItsFrame(t *testing.T) {
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			p := startParker(t)
			l := NewLog(Limits{Bytes: 256 << 10, Frames: 1 << 20})
			ours, theirs := securePair(t, certificate(t), version, false)
			o := newOwner()
			p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
			frame := append(bytes.Repeat([]byte("x"), 9_999), '\n')
			var back released
			for n, waiting := 0, true; waiting; {
				for range 20 {
					n++
					l.Append(frame, uint64(n), 0)
				}
				l.Wake(false)
				select {
				case back = <-o.released:
					waiting = false
				case <-time.After(20 * time.Millisecond):
				}
			}
			if rest := len(back.socket.tls.rest); rest == 0 || rest > maxRecord+256 {
				t.Errorf("%d bytes are sealed and wait", rest)
			}
			if back.Blocked.IsZero() || len(back.Pending) < back.socket.tls.sealed {
				t.Errorf("released at %s with %d pending of which %d are sealed", back.Blocked, len(back.Pending), back.socket.tls.sealed)
			}
			c, err := back.socket.Conn()
			if err != nil {
				t.Fatal(err)
			}
			o = newOwner()
			var writing sync.WaitGroup
			writing.Go(func() {
				if _, err := c.Write(back.Pending); err != nil {
					t.Error(err)
				}
				o.when(func(now time.Time, _ bool) ([]byte, time.Time, bool) { return []byte("bye"), now, true })
				p.Park(detach(t, c), l.Join(), o, nil, time.Now())
			})
			text, err := io.ReadAll(theirs)
			if err != nil {
				t.Fatal(err)
			}
			writing.Wait()
			text, ok := bytes.CutSuffix(text, []byte("bye"))
			if !ok || len(text) == 0 || len(text) > 1<<20 || !bytes.Equal(text, bytes.Repeat(frame, len(text)/len(frame))) {
				t.Errorf("%d bytes received, the end is there: %t", len(text), ok)
			}
		})
	}
}

// net/http serves both versions of HTTP behind the listener, and what it hands over can be parked.
func TestServerBehindTheListenerSpeaksHTTP2AndHandsStreamsOver(t *testing.T) {
	p := startParker(t)
	l := NewLog(limits())
	inner, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2", "http/1.1"}}
	o := newOwner()
	server := &http.Server{TLSConfig: config, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 {
			_, _ = io.WriteString(w, r.Proto) //nolint:gosec // a version of HTTP
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			err = c.SetDeadline(time.Time{})
		}
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
		p.Park(detach(t, c), l.Join(), o, nil, time.Now().Add(time.Hour))
		l.Append([]byte("event"), 1, 0)
		l.Wake(false)
	})}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(NewTLSListener(inner, config)); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	for _, two := range []bool{true, false} {
		transport := &http.Transport{ForceAttemptHTTP2: two, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own server
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+inner.Addr().String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		want := "event"
		if two {
			want = "HTTP/2.0"
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", resp.Proto, got, err)
		}
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
	}
	if why := receive(t, "close", o.closed); why != Peer {
		t.Errorf("closed because %d", why)
	}
}
