package transporttest

import (
	"encoding/json"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

func laws() []law {
	return []law{
		{"hello, replay, live, tail", inOrder},
		{"hello gives a cursor before the first event", helloFirst},
		{"events are told apart by type and arrive as they were written", asWritten},
		{"resumes behind any event", resumes},
		{"a cursor of another life resets", resetsForeignEpochs},
		{"a cursor that retention has passed resets", resetsTrimmed},
		{"filtered events are not given and move the heartbeat", filters},
		{"an audience is kept", keepsAudiences},
		{"an exception is kept", keepsExceptions},
		{"an ephemeral event has no cursor", ephemeral},
		{"events of 64 KiB", large},
		{"one byte at a time", byteByByte},
		{"a connection cut inside an event loses nothing", cutAnywhere},
		{"a refusal is no stream", refuses},
		{"bye: drain", drains},
		{"bye: revoked", revoked},
		{"bye: token-expired", expires},
		{"a refreshed stream outlives its token", refreshes},
	}
}

func inOrder(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.publish(t, nil, numbers(0, 300)...)
	st := s.subscribe(t, "topic=orders/*&after=earliest", nil)
	if first := st.next(t); first.Type != "roxy:hello" {
		t.Errorf("the first event is %+v", first)
	}
	replayed, live := st.until(t, "roxy:live")
	same(t, orders(t, replayed), numbers(0, 300))
	if !strings.Contains(live.Data, `"replayed":300`) {
		t.Errorf("got %+v", live)
	}
	s.publish(t, nil, numbers(300, 400)...)
	for _, n := range numbers(400, 420) {
		s.publish(t, nil, n)
	}
	var tail []Event
	for range 120 {
		tail = append(tail, st.next(t))
	}
	same(t, orders(t, tail), numbers(300, 420))
}

func helloFirst(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	head := s.publish(t, nil, "1")[0].Cursor.String()
	st := s.subscribe(t, "topic=orders/*&heartbeat=7s", nil)
	first := st.next(t)
	var hello hub.Hello
	if err := json.Unmarshal([]byte(first.Data), &hello); err != nil {
		t.Fatal(err)
	}
	if first.Type != "roxy:hello" || first.ID != head || hello.Cursor != head || hello.Heartbeat != "7s" || hello.Connection == "" || hello.Retry == 0 {
		t.Errorf("got %+v", first)
	}
	if second := st.next(t); second.Type != "roxy:live" || second.ID != head {
		t.Errorf("then %+v", second)
	}
	if list := s.Connections("bar"); len(list) != 1 || list[0].ID != hello.Connection || list[0].User != "u7" || list[0].Patterns[0] != "orders/*" {
		t.Errorf("the operator sees %+v", list)
	}
}

func asWritten(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	const odd = `{"n":1e400,"big":12345678901234567890,"s":"\u00e9\ud83d\ude00 ` + "é😀\u2028" + `<\/script>"}`
	for _, eventType := range []string{roxy.DefaultType, "order:new", `quo"te\`, "größe 😀"} {
		cursor := s.publish(t, func(e *roxy.Event) { e.Type, e.Correlation = eventType, "c1" }, odd)[0].Cursor.String()
		e := st.next(t)
		if e.Type != eventType || e.ID != cursor {
			t.Errorf("got %+v, want type %q at %s", e, eventType, cursor)
		}
		for _, part := range []string{`{"topic":"orders/1","time":"`, `"by":"u7","correlation":"c1","data":` + odd + `}`} {
			if !strings.Contains(e.Data, part) {
				t.Errorf("%s lacks %s", e.Data, part)
			}
		}
	}
}

func resumes(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	published := s.publish(t, nil, numbers(0, 5)...)
	for i, p := range published {
		st := s.subscribe(t, "topic=orders/*&after="+p.Cursor.String(), nil)
		rest, _ := st.until(t, "roxy:live")
		same(t, orders(t, rest), numbers(i+1, 5))
		_ = st.conn.Close()
	}
}

func resetsForeignEpochs(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	head := s.publish(t, nil, "1")[0].Cursor.String()
	st := s.subscribe(t, "topic=orders/*&after=other.1", nil)
	if hello := st.next(t); hello.ID != "" || !strings.Contains(hello.Data, `"cursor":"other.1"`) {
		t.Errorf("hello moves the cursor: %+v", hello)
	}
	if reset := st.next(t); reset.Type != "roxy:reset" || reset.ID != head || !strings.Contains(reset.Data, `"reason":"epoch"`) {
		t.Errorf("got %+v", reset)
	}
	st.until(t, "roxy:live") // an event published before it may come before it
	s.publish(t, nil, "2")
	same(t, orders(t, []Event{st.next(t)}), []string{"2"})
}

func resetsTrimmed(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	published := s.publish(t, nil, numbers(0, 10)...)
	if err := s.engine.Trim(t.Context(), "bar", published[5].Cursor.Offset); err != nil {
		t.Fatal(err)
	}
	st := s.subscribe(t, "topic=orders/*&after="+published[1].Cursor.String(), nil)
	before, _ := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", "roxy:reset"})
	if !strings.Contains(before[1].Data, `"reason":"retention"`) {
		t.Errorf("got %+v", before[1])
	}
}

func filters(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*&type=order:new&heartbeat=1s", nil)
	st.until(t, "roxy:live")
	last := s.publish(t, func(e *roxy.Event) { e.Type = "order:paid" }, "1", "2")[1].Cursor.String()
	for {
		e := st.next(t)
		if e.Type != "roxy:heartbeat" {
			t.Fatalf("got %+v", e)
		}
		if e.ID == last {
			break
		}
	}
	s.publish(t, nil, "3")
	before, _ := st.until(t, "order:new")
	same(t, orders(t, before), nil)
}

func keepsAudiences(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.publish(t, audience(t, []string{"kitchen"}, nil), "1")
	st := s.subscribe(t, "topic=orders/*&after=earliest", nil)
	replayed, _ := st.until(t, "roxy:live")
	same(t, orders(t, replayed), nil)
	s.publish(t, audience(t, []string{"kitchen"}, []string{"u8"}), "2")
	s.publish(t, audience(t, []string{"kitchen", "waiter"}, nil), "3")
	s.publish(t, audience(t, nil, []string{"u7"}), "4")
	s.publish(t, nil, "5")
	same(t, orders(t, []Event{st.next(t), st.next(t), st.next(t)}), []string{"3", "4", "5"})
}

func audience(t *testing.T, roles, users []string) func(*roxy.Event) {
	t.Helper()
	to, err := roxy.NewAudience(roles, users)
	if err != nil {
		t.Fatal(err)
	}
	return func(e *roxy.Event) { e.To = to }
}

func keepsExceptions(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	head := s.publish(t, nil, "0")[0].Cursor.String()
	tell := func(not string, ephemeral bool, data string) {
		s.publish(t, func(e *roxy.Event) { e.Except, e.Ephemeral = not, ephemeral }, data)
	}
	tell("tablet-1", false, "1")
	query := "topic=orders/*&heartbeat=1s&after=" + head
	mine, other, none := s.subscribe(t, query+"&device=tablet-1", nil), s.subscribe(t, query+"&device=tablet-2", nil), s.subscribe(t, query, nil)
	for st, want := range map[*stream][]string{mine: nil, other: {"1"}, none: {"1"}} {
		replayed, _ := st.until(t, "roxy:live")
		same(t, orders(t, replayed), want)
	}
	gets := func(st *stream, want ...string) {
		t.Helper()
		var got []Event
		for range want {
			_, e := st.until(t, "order:new")
			got = append(got, e)
		}
		same(t, orders(t, got), want)
	}
	tell("tablet-1", false, "2")
	tell("", false, "3")
	gets(mine, "3")
	gets(other, "2", "3")
	gets(none, "2", "3")
	tell("tablet-1", true, "4") // now: an ephemeral event overtakes those that are on their way through the log
	tell("tablet-2", true, "5")
	gets(mine, "5")
	gets(other, "4")
	gets(none, "4", "5")
	byName := func(not, data string) string {
		addressed := audience(t, nil, []string{"u7"})
		return s.publish(t, func(e *roxy.Event) { addressed(e); e.Except = not }, data)[0].Cursor.String()
	}
	byName("", "6")
	last := byName("tablet-1", "7")
	gets(mine, "6")
	gets(other, "6", "7")
	gets(none, "6", "7")
	for { // the position moves past what was not for it
		e := mine.next(t)
		if e.Type != "roxy:heartbeat" {
			t.Fatalf("got %+v", e)
		}
		if e.ID == last {
			break
		}
	}
	tell("tablet-1", false, "8")
	tell("", false, "9")
	gets(mine, "9")
	s.stop(t)
	mine.bye(t, hub.Drain) // what came is whole, compressed or not
}

func ephemeral(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	s.publish(t, func(e *roxy.Event) { e.Ephemeral = true }, "true")
	if e := st.next(t); e.ID != "" || e.Type != "order:new" {
		t.Errorf("got %+v", e)
	}
}

// Random-looking data does not compress, repeated data does: both ways of a compressing transport are taken.
func large(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	var noise strings.Builder
	for x := uint32(1); noise.Len() < 64<<10; x = x*1664525 + 1013904223 {
		noise.WriteByte('#' + byte(x>>24)%('['-'#'))
	}
	data := []string{`"` + noise.String() + `"`, `"` + strings.Repeat("beer and ", 7281) + `"`, `"` + strings.Repeat("a", 199) + `"`}
	s.publish(t, nil, data...)
	same(t, orders(t, []Event{st.next(t), st.next(t), st.next(t)}), data)
	again := s.subscribe(t, "topic=orders/*&after=earliest", nil)
	replayed, _ := again.until(t, "roxy:live")
	same(t, orders(t, replayed), data)
}

func byteByByte(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	data := []string{`"` + strings.Repeat("soup ", 300) + `"`, "2", "3"}
	s.publish(t, nil, data...)
	st := s.subscribe(t, "topic=orders/*&after=earliest", func(c net.Conn) net.Conn { return slow{c} })
	replayed, _ := st.until(t, "roxy:live")
	same(t, orders(t, replayed), data)
}

// slow is a connection that gives one byte to each read, and sends each in a packet of its own.
type slow struct{ net.Conn }

func (c slow) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(1, len(p))]) }

func (c slow) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func cutAnywhere(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	const n = 400
	s.publish(t, nil, numbers(0, n)...)
	var got []string
	query := "topic=orders/*&after=earliest"
	cuts := 0
	for at := 900; len(got) < n; at += 37 {
		st, err := s.dial(t, query, func(c net.Conn) net.Conn { return &cut{Conn: c, left: at} })
		for err == nil {
			var e Event
			if e, err = st.read(); err == nil {
				got = append(got, orders(t, []Event{e})...)
				if e.ID != "" && e.Type != "roxy:hello" {
					query = "topic=orders/*&after=" + e.ID
				}
			}
			if len(got) == n {
				break
			}
		}
		cuts++
	}
	same(t, got, numbers(0, n))
	if cuts < 3 {
		t.Errorf("the stream was cut %d times only", cuts)
	}
}

// cut is a connection that breaks, by a reset, once it has given so many bytes.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
		return 0, syscall.ECONNRESET
	}
	n, err := c.Conn.Read(p[:min(c.left, len(p))])
	c.left -= n
	return n, err
}

func refuses(t *testing.T, tr Transport) {
	s := open(t, tr, func(who *roxy.Identity) {
		who.Grant.Read = slices.DeleteFunc(slices.Clone(who.Grant.Read), func(roxy.Pattern) bool { return true })
	})
	if _, err := s.dial(t, "topic=orders/*", nil); err == nil || !strings.Contains(err.Error(), string(roxy.Forbidden)) {
		t.Errorf("got %v", err)
	}
}

func drains(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	s.stop(t)
	st.bye(t, hub.Drain)
}

func revoked(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	if err := s.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", TokenID: "t1"}); err != nil {
		t.Fatal(err)
	}
	st.bye(t, hub.Revoked)
}

func expires(t *testing.T, tr Transport) {
	s := open(t, tr, func(who *roxy.Identity) { who.Expires = time.Now().Add(500 * time.Millisecond) })
	s.subscribe(t, "topic=orders/*", nil).bye(t, hub.TokenExpired)
}

func refreshes(t *testing.T, tr Transport) {
	expires := time.Now().Add(time.Second)
	s := open(t, tr, func(who *roxy.Identity) { who.Expires = expires })
	st := s.subscribe(t, "topic=orders/*&heartbeat=1s", nil)
	st.until(t, "roxy:live")
	fresh := s.who
	fresh.Expires = time.Now().Add(time.Hour)
	if err := s.Refresh(s.Connections("bar")[0].ID, fresh); err != nil {
		t.Fatal(err)
	}
	for time.Now().Before(expires) { // by heartbeats, not by waiting
		st.until(t, "roxy:heartbeat")
	}
	s.publish(t, nil, "1")
	st.until(t, "order:new")
}
