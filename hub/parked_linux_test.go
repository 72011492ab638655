package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/fanout"
)

// tablet is the far end of a parked stream.
type tablet struct {
	net.Conn
	lines *bufio.Scanner
	ended chan struct{}
}

// connected returns both ends of a connection.
func connected(t *testing.T) (ours, theirs net.Conn) {
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

// dial opens a stream over a real connection and waits until it is live, and so parked.
func (f fixture) dial(t *testing.T, sub Subscription) *tablet {
	t.Helper()
	ours, theirs := connected(t)
	tab := &tablet{Conn: theirs, lines: bufio.NewScanner(theirs), ended: make(chan struct{})}
	tab.lines.Buffer(nil, 1<<20)
	sub.Encoding, sub.Transport, sub.Ended = lineEncoding{}, "test", func() { close(tab.ended) }
	if sub.Heartbeat == 0 {
		sub.Heartbeat = time.Minute
	}
	// Subscribe returns although its context ends: the stream is parked.
	ctx, cancel := context.WithCancel(t.Context())
	if err := f.Subscribe(ctx, sub, plainConnection{ours}); err != nil {
		t.Fatal(err)
	}
	cancel()
	tab.await(t, "C roxy:live")
	return tab
}

// talker is a Conversation whose listener would give up its connection at any time.
type talker struct{ plainConnection }

func (talker) Received([]byte) (reply []byte, wake bool) { return nil, false }

func (talker) Resume(net.Conn) context.Context { return context.Background() }

func (talker) Listen([]byte) {}

// What the listener has not been told of it goes on reading.
func TestConversationIsParkedWhenItsListenerAsksAndNotBefore(t *testing.T) {
	f := startHub(t, Options{})
	ours, theirs := connected(t)
	ended := make(chan struct{})
	sub := Subscription{
		Identity: all(t, "bar", "u1"), Patterns: []roxy.Pattern{pattern(t, "a")}, Connection: "c1", Heartbeat: time.Minute,
		Encoding: lineEncoding{}, Transport: "test", Ended: func() { close(ended) },
	}
	left := make(chan error, 1)
	go func() { left <- f.Subscribe(t.Context(), sub, talker{plainConnection{ours}}) }()
	tab := &tablet{Conn: theirs, lines: bufio.NewScanner(theirs), ended: ended}
	tab.await(t, "C roxy:live")
	for until := time.Now().Add(20 * time.Second); !f.Park("c1"); time.Sleep(time.Millisecond) { // not while it is busy
		if time.Now().After(until) {
			t.Fatal("the stream was never there to be parked")
		}
	}
	if err := <-left; err != nil {
		t.Error(err)
	}
	f.publish(t, sub.Identity, event(t, "a", "1"))
	tab.await(t, "E 1 ")
}

// await reads until a line that begins with prefix, and returns it.
func (tab *tablet) await(t *testing.T, prefix string) string {
	t.Helper()
	if err := tab.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for tab.lines.Scan() {
		if strings.HasPrefix(tab.lines.Text(), prefix) {
			return tab.lines.Text()
		}
	}
	t.Fatalf("the stream ended before %q: %v", prefix, tab.lines.Err())
	return ""
}

func TestParkedStreamLivesItsWholeLife(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1", "waiter")
	me.TokenID = "j1"
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Heartbeat: time.Second}
	tab := f.dial(t, sub)
	f.publish(t, me, event(t, "orders/1", "1"), event(t, "tables/1", "2"))
	tab.await(t, "E 1 ")
	if beat := tab.await(t, "C roxy:heartbeat"); !strings.Contains(beat, ".2\"") {
		t.Errorf("the heartbeat does not move the cursor past what was not for the stream: %s", beat)
	}
	private := event(t, "orders/2", "3")
	private.To = roxy.Audience{Users: []string{"u1"}}
	f.publish(t, me, private)
	tab.await(t, "E 3 ")
	if list := f.Connections("bar"); len(list) != 1 || list[0].Pending != 0 {
		t.Errorf("connections: %+v", list)
	}
	if err := f.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", TokenID: "j1"}); err != nil {
		t.Fatal(err)
	}
	if bye := tab.await(t, "C roxy:bye"); !strings.Contains(bye, `"revoked"`) {
		t.Error(bye)
	}
	<-tab.ended
	if list := f.Connections("bar"); len(list) != 0 {
		t.Errorf("connections after the end: %+v", list)
	}
}

func TestParkedStreamEndsWithItsTokenUnlessRefreshed(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1", "waiter")
	me.Expires = time.Now().Add(800 * time.Millisecond)
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}}
	expiring, refreshed := f.dial(t, sub), f.dial(t, sub)
	fresh := me
	fresh.Expires = time.Now().Add(time.Hour)
	if err := f.Refresh(f.Connections("bar")[1].ID, fresh); err != nil {
		t.Fatal(err)
	}
	if bye := expiring.await(t, "C roxy:bye"); !strings.Contains(bye, `"token-expired"`) {
		t.Error(bye)
	}
	f.publish(t, me, event(t, "a", "1"))
	refreshed.await(t, "E 1 ")
}

// A tablet that takes nothing for a moment, while more happens than its class keeps, goes on from the durable log and is
// parked again: nothing is missing and nothing comes twice.
func TestParkedStreamThatLagsGoesOnWithoutHoleOrRepeat(t *testing.T) {
	f := startHub(t, Options{QueueEvents: 50})
	me := all(t, "bar", "u1")
	tab := f.dial(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}})
	const rounds, batch = 20, 400
	text := `"` + strings.Repeat("x", 1500) + `"`
	next := 1
	for range rounds {
		var events []roxy.Event
		for range batch {
			events = append(events, event(t, "a", text))
		}
		f.publish(t, me, events...)
		for range batch / 2 { // slower than it comes
			tab.await(t, fmt.Sprintf("E %d ", next))
			next++
		}
	}
	for next <= rounds*batch {
		if line := tab.await(t, "E "); !strings.HasPrefix(line, fmt.Sprintf("E %d ", next)) {
			t.Fatalf("got %.20s, want event %d", line, next)
		}
		next++
	}
	if f.Stats().Lagged == 0 {
		t.Error("the stream never fell behind: the test shows nothing")
	}
}

func TestParkedStreamThatIsStuckIsToldThatItIsSlow(t *testing.T) {
	f := startHub(t, Options{QueueEvents: 50})
	me := all(t, "bar", "u1")
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}}
	tab, quick := f.dial(t, sub), f.dial(t, sub)
	text := `"` + strings.Repeat("x", 20<<10) + `"`
	n := 0
	for until := time.Now().Add(stuckWrite + 500*time.Millisecond); time.Now().Before(until); {
		f.publish(t, me, event(t, "a", text), event(t, "a", text), event(t, "a", text))
		n += 3
		quick.await(t, fmt.Sprintf("E %d ", n))
	}
	if bye := tab.await(t, "C roxy:bye"); !strings.Contains(bye, `"slow"`) {
		t.Error(bye)
	}
	<-tab.ended
	if s := f.Stats(); s.Ended["slow"] != 1 {
		t.Errorf("ended: %v", s.Ended)
	}
}

// A stream that is ended while its socket comes back in the middle of an event says the event's end before goodbye.
func TestGoodbyeIsNeverInTheMiddleOfAnEvent(t *testing.T) {
	f := startHub(t, Options{})
	ours, theirs := connected(t)
	st := &stream{hub: f.Hub, sub: Subscription{Encoding: lineEncoding{}}}
	st.unpark(t.Context(), ours)
	st.end(Drain)
	if err := st.flush(fanout.Rest{Pending: []byte("of an event\n")}, true); !errors.Is(err, errEnded) {
		t.Errorf("it goes on: %v", err)
	}
	st.bye()
	_ = ours.Close()
	text, err := io.ReadAll(theirs)
	if err != nil || !strings.HasPrefix(string(text), "of an event\nC roxy:bye ") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestCloseSaysByeToParkedStreams(t *testing.T) {
	f := startHub(t, Options{DrainOver: time.Second})
	tab := f.dial(t, Subscription{Identity: all(t, "bar", "u1"), Patterns: []roxy.Pattern{pattern(t, "a")}})
	gone := f.dial(t, Subscription{Identity: all(t, "bar", "u2"), Patterns: []roxy.Pattern{pattern(t, "a")}})
	_ = gone.Close()
	<-gone.ended
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if bye := tab.await(t, "C roxy:bye"); !strings.Contains(bye, `"drain"`) {
		t.Error(bye)
	}
}

// A receipt takes the lane of its stream, parked or not, and leaves the cursor where it was.
func TestParkedStreamHearsOfItsMutations(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	sub := orders(t, me)
	sub.Device, sub.Heartbeat = "tablet-1", time.Second
	mine := f.dial(t, sub)
	sub.Device = "tablet-2"
	other := f.dial(t, sub)
	m := put(t, "orders/1", `{"a":1}`)
	m.ID, m.Device = "m1", "tablet-1"
	f.mutate(t, me, m)
	if got := mine.await(t, "C roxy:receipt "); !strings.Contains(got, `"id":"m1","status":"committed"`) {
		t.Error(got)
	}
	if got := mine.await(t, "C roxy:heartbeat"); !strings.Contains(got, f.epoch(t)+".1\"") {
		t.Error(got)
	}
	for _, prefix := range []string{"E 1 entity:created", "C roxy:heartbeat"} {
		if !other.lines.Scan() || !strings.HasPrefix(other.lines.Text(), prefix) {
			t.Errorf("the other device has %q, want %s", other.lines.Text(), prefix)
		}
	}
}
