package fanout

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/roxyhub/roxy/internal/deflate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// owner records what its shard tells it.
type owner struct {
	mu       sync.Mutex
	due      func(now time.Time, busy bool) ([]byte, time.Time, bool)
	frames   int
	bytes    int
	offset   uint64
	closed   chan Cause
	released chan released
}

type released struct {
	socket Socket
	Rest
}

func newOwner() *owner {
	return &owner{closed: make(chan Cause, 1), released: make(chan released, 1)}
}

func (o *owner) Due(now time.Time, busy bool) ([]byte, time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.due == nil {
		return nil, now.Add(time.Hour), false
	}
	return o.due(now, busy)
}

func (o *owner) Wrote(b *Batch, n int, _ time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes += n
	if b != nil {
		o.frames += b.Frames
		o.offset = max(o.offset, b.Offset)
	}
}

func (o *owner) Received(p []byte) ([]byte, bool) {
	if text, ok := bytes.CutPrefix(p, []byte("ping")); ok || p[0] == '?' {
		return append([]byte("pong"), text...), false
	}
	return nil, true
}

func (o *owner) Closed(why Cause) { o.closed <- why }

func (o *owner) Released(s Socket, rest Rest) {
	o.released <- released{s, rest}
}

func (o *owner) when(due func(now time.Time, busy bool) ([]byte, time.Time, bool)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.due = due
}

// pair returns both ends of a TCP connection; the first can be parked.
func pair(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it answers at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	theirs, err = net.Dial("tcp", l.Addr().String()) //nolint:noctx // as does this
	if err != nil {
		t.Fatal(err)
	}
	ours, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	return ours, theirs
}

func detach(t *testing.T, c net.Conn) Socket {
	t.Helper()
	s, ok, err := Detach(c)
	if err != nil || !ok {
		t.Fatalf("not detached: %t, %v", ok, err)
	}
	return s
}

func startParker(t *testing.T) *Parker {
	t.Helper()
	p, err := StartParker(2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(30 * time.Second):
		t.Fatalf("no %s after 30 s", what)
		panic("unreachable")
	}
}

// Readers that take their bytes at any pace, in any portion, get every frame once and in order, private ones included, and
// never one that they are excepted from, however busy they are when it comes.
func TestParkedStreamsGetEveryFrameInOrderAndNoneThatTheyAreToSkip(t *testing.T) {
	p := startParker(t)
	l := NewLog(Limits{Bytes: 64 << 20, Frames: 1 << 20})
	const streams, frames = 40, 3000
	want := make([]bytes.Buffer, streams)
	readers := make([]*Reader, streams)
	var reading sync.WaitGroup
	got := make([][]byte, streams)
	for i := range streams {
		ours, theirs := pair(t)
		readers[i] = l.Join()
		p.Park(detach(t, ours), readers[i], newOwner(), nil, time.Now().Add(time.Hour))
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for buf := make([]byte, 32<<10); ; {
				n, err := theirs.Read(buf[:1+random.IntN(len(buf))])
				got[i] = append(got[i], buf[:n]...)
				if err != nil || bytes.HasSuffix(got[i], []byte("<end>")) {
					return
				}
				if random.IntN(50) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for n := range frames {
		frame := fmt.Appendf(nil, "<%d:%s>", n, bytes.Repeat([]byte("x"), n%700))
		if n%5 == 0 {
			i := n % streams
			readers[i].Private(frame, deflate.Sum{}, uint64(n+1), 0)
			_, _ = want[i].Write(frame)
			readers[i].Wake()
			continue
		}
		var except []*Reader
		for i := range want {
			if (n/7+i)%9 == 0 { // now and then several in a row
				except = append(except, readers[i])
			} else {
				_, _ = want[i].Write(frame)
			}
		}
		l.Append(frame, uint64(n+1), 0, except...)
		if n%3 == 0 {
			l.Wake(n%2 == 0)
		}
	}
	l.Append([]byte("<end>"), frames+1, 0)
	l.Wake(false)
	reading.Wait()
	for i := range want {
		_, _ = want[i].WriteString("<end>")
		if !bytes.Equal(got[i], want[i].Bytes()) {
			t.Errorf("stream %d got %d bytes, want %d", i, len(got[i]), want[i].Len())
		}
	}
}

func TestPeerThatClosesOrTalksTooMuchIsClosed(t *testing.T) {
	p := startParker(t)
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
	for name, leave := range map[string]func(theirs net.Conn){
		"closes": func(c net.Conn) { _ = c.Close() },
		"resets": func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // it is one
			_ = c.Close()
		},
		"shuts its side": func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }, //nolint:forcetypeassert // it is one
		"talks":          func(c net.Conn) { _, _ = c.Write(make([]byte, 100<<10)) },
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := pair(t)
			o := newOwner()
			p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
			leave(theirs)
			if why := receive(t, "close", o.closed); why != Peer {
				t.Errorf("closed because %d", why)
			}
		})
	}
	ours, theirs := pair(t)
	o := newOwner()
	p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
	if _, err := theirs.Write([]byte("a few words")); err != nil {
		t.Fatal(err)
	}
	l.Append([]byte("frame"), 1, 0)
	l.Wake(false)
	buf := make([]byte, 5)
	if _, err := io.ReadFull(theirs, buf); err != nil || string(buf) != "frame" {
		t.Errorf("after a few words: %q, %v", buf, err)
	}
}

func TestOwnerSpeaksWhenItIsDueAndHasTheLastWord(t *testing.T) {
	p := startParker(t)
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
	ours, theirs := pair(t)
	o := newOwner()
	beats := 0
	o.when(func(now time.Time, _ bool) ([]byte, time.Time, bool) {
		beats++
		return []byte("beat\n"), now.Add(time.Hour), false
	})
	parked := p.Park(detach(t, ours), l.Join(), o, nil, time.Now())
	read := func(want string) {
		t.Helper()
		buf := make([]byte, len(want))
		if _, err := io.ReadFull(theirs, buf); err != nil || string(buf) != want {
			t.Fatalf("read %q, %v, want %q", buf, err, want)
		}
	}
	read("beat\n")
	o.when(func(now time.Time, _ bool) ([]byte, time.Time, bool) { return []byte("bye\n"), now, true })
	l.Append([]byte("event\n"), 1, 0)
	l.Wake(false)
	read("event\n")
	parked.Poke()
	read("bye\n")
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the last word: %v", err)
	}
	if why := receive(t, "close", o.closed); why != Last {
		t.Errorf("closed because %d", why)
	}
	parked.Poke() // nobody is there, and nothing happens
}

// A reader that takes nothing is cut when the log is trimmed; its socket comes back with the rest of the frame that was on
// its way, so that the stream goes on from there. The hub keeps little for it, and the others notice nothing.
func TestReaderThatTakesNothingIsReleasedWithTheRestOfItsFrame(t *testing.T) {
	p := startParker(t)
	l := NewLog(Limits{Bytes: 256 << 10, Frames: 1 << 20})
	ours, theirs := pair(t)
	stuckOwner, quickOwner := newOwner(), newOwner()
	p.Park(detach(t, ours), l.Join(), stuckOwner, nil, time.Now().Add(time.Hour))
	quickOurs, quickTheirs := pair(t)
	p.Park(detach(t, quickOurs), l.Join(), quickOwner, nil, time.Now().Add(time.Hour))
	var quick sync.WaitGroup
	var total int64
	quick.Go(func() { total, _ = io.Copy(io.Discard, quickTheirs) })

	frame := append(bytes.Repeat([]byte("x"), 9999), '\n')
	n := 0
	var back released
	for waiting := true; waiting; {
		for range 20 {
			n++
			l.Append(frame, uint64(n), 0)
		}
		l.Wake(false)
		select {
		case back = <-stuckOwner.released:
			waiting = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	if back.Blocked.IsZero() || time.Since(back.Blocked) < stuck {
		t.Errorf("released after %s", time.Since(back.Blocked))
	}
	if kept := l.Kept(); kept > 512<<10 {
		t.Errorf("the log keeps %d bytes", kept)
	}
	c, err := back.socket.Conn()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = c.Write(back.Pending)
		_ = c.Close()
	}()
	text, err := io.ReadAll(theirs)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) == 0 || len(text)%len(frame) != 0 {
		t.Errorf("%d bytes received: a frame is torn", len(text))
	}
	if len(text) > 1<<20 {
		t.Errorf("a reader that takes nothing swallowed %d bytes", len(text))
	}
	_ = quickTheirs.Close()
	quick.Wait()
	if total == 0 {
		t.Error("the other reader got nothing")
	}
}

// Streams that come and go in every way leave no descriptor and no goroutine.
func TestChurnLeavesNothingBehind(t *testing.T) {
	t.Run("cleartext", func(t *testing.T) { churn(t, pair) })
	for name, version := range versions() {
		t.Run(name, func(t *testing.T) {
			secret := certificate(t)
			churn(t, func(t *testing.T) (ours, theirs net.Conn) {
				t.Helper()
				return securePair(t, secret, version, false)
			})
		})
	}
}

func churn(t *testing.T, pair func(*testing.T) (ours, theirs net.Conn)) {
	t.Helper()
	p := startParker(t)
	l := NewLog(Limits{Bytes: 64 << 10, Frames: 100})
	before, goroutines := descriptors(t), runtime.NumGoroutine()
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for n := uint64(1); ; n++ {
			select {
			case <-stop:
				return
			default:
				l.Append(bytes.Repeat([]byte("x"), 500), n, 0)
				l.Wake(n%10 == 0)
			}
			if n%50 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	var going sync.WaitGroup
	for range 8 {
		going.Go(func() {
			for i := range 60 {
				ours, theirs := pair(t)
				o, r := newOwner(), l.Join()
				o.when(func(now time.Time, busy bool) ([]byte, time.Time, bool) { return nil, now.Add(time.Hour), busy })
				parked := p.Park(detach(t, ours), r, o, nil, time.Now().Add(time.Hour))
				switch i % 4 {
				case 0: // in vain when it falls behind and is released
					_ = theirs.SetReadDeadline(time.Now().Add(time.Second))
					_, _ = io.CopyN(io.Discard, theirs, 2000)
				case 1:
					_ = tcp(theirs).SetLinger(0)
				case 2:
					o.when(func(now time.Time, _ bool) ([]byte, time.Time, bool) { return nil, now, true })
					parked.Poke()
				}
				if i%4 != 2 {
					_ = theirs.Close()
				}
				select {
				case <-o.closed:
				case back := <-o.released:
					if c, err := back.socket.Conn(); err == nil {
						_ = c.Close()
					}
				case <-time.After(30 * time.Second):
					t.Error("a stream never ended")
				}
				r.Leave()
				_ = theirs.Close()
			}
		})
	}
	going.Wait()
	close(stop)
	publishing.Wait()
	if n := l.Readers(); n != 0 {
		t.Errorf("%d readers left", n)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		after, now := descriptors(t), runtime.NumGoroutine()
		if after <= before && now <= goroutines {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors and %d goroutines, before %d and %d", after, now, before, goroutines)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCloseEndsWhatIsStillParked(t *testing.T) {
	p, err := StartParker(1)
	if err != nil {
		t.Fatal(err)
	}
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
	var owners []*owner
	var far []net.Conn
	for range 20 {
		ours, theirs := pair(t)
		o := newOwner()
		p.Park(detach(t, ours), l.Join(), o, nil, time.Now().Add(time.Hour))
		owners, far = append(owners, o), append(far, theirs)
	}
	p.Close() // some have hardly come
	for i, o := range owners {
		if why := receive(t, "close", o.closed); why != Peer {
			t.Errorf("closed because %d", why)
		}
		if _, err := far[i].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the socket is still open: %v", err)
		}
	}
}

// A client that is listened to is answered between two frames, and gets its socket back to a goroutine for what takes
// longer; nothing that it was to get is lost by it.
func TestClientThatIsListenedToIsAnsweredOrWoken(t *testing.T) {
	p := startParker(t)
	l := NewLog(Limits{Bytes: 1 << 20, Frames: 1000})
	ours, theirs := pair(t)
	o := newOwner()
	r := l.Join()
	p.Park(detach(t, ours), r, o, o, time.Now().Add(time.Hour))
	read := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(theirs, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v; want %q", got, err, want)
		}
	}
	say := func(text string) {
		t.Helper()
		if _, err := theirs.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	say("ping1")
	read("pong1")
	l.Append([]byte("frame1"), 1, 0)
	l.Wake(false)
	read("frame1")
	say("something else")
	back := receive(t, "the socket", o.released)
	if string(back.Received) != "something else" {
		t.Errorf("received %q", back.Received)
	}
	r.Unpark()
	l.Append([]byte("frame2"), 2, 0)
	l.Wake(false)
	<-r.Woken()
	if batch, ok := r.Next(); !ok || string(batch.Bytes) != "frame2" {
		t.Errorf("the reader goes on with %q, %t", batch.Bytes, ok)
	}
	c, err := back.socket.Conn()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	read("answer")
}

// One that asks and does not read is cut off before its answers fill the memory.
func TestClientThatAsksAndDoesNotReadIsCutOff(t *testing.T) {
	p := startParker(t)
	ours, theirs := pair(t)
	o := newOwner()
	p.Park(detach(t, ours), NewLog(Limits{Bytes: 1 << 20, Frames: 1000}).Join(), o, o, time.Now().Add(time.Hour))
	go func() {
		for ask := bytes.Repeat([]byte("?"), 1000); ; {
			if _, err := theirs.Write(ask); err != nil {
				return
			}
		}
	}()
	if why := receive(t, "the end", o.closed); why != Stuck {
		t.Errorf("closed because of %d", why)
	}
}
