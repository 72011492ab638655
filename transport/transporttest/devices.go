package transporttest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// deviceLaws are those of docs/protocol.md §7.
func deviceLaws() []law {
	return []law{
		{"a device that kept nothing resumes where it has everything", resumesDevices},
		{"a cursor that a device comes back with says what it has", acknowledgesByCursor},
		{"more than a mailbox holds resets", overflows},
		{"bye: replaced", replaced},
		{"a critical event comes first, and again, without a cursor, until it is confirmed", critical},
		{"a dead letter is an event of the log", deadLetters},
	}
}

// delivered says that a device of s.who has everything up to p.
func (s *site) delivered(t *testing.T, device string, p hub.Published) {
	t.Helper()
	if at, _, err := s.Acknowledge(t.Context(), s.who, hub.Acks{Device: device, Delivered: &p.Cursor}); err != nil || at != p.Cursor {
		t.Fatalf("the device is at %s, %v; want %s", at, err, p.Cursor)
	}
}

func resumesDevices(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.publish(t, nil, "before it was known")
	st := s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	before, _ := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello"})
	parts(t, before[0].Data, `"device":"tablet-1"`)
	published := s.publish(t, nil, numbers(0, 5)...)
	for range published {
		st.next(t)
	}
	_ = st.conn.Close()
	s.delivered(t, "tablet-1", published[2])
	s.publish(t, nil, "5")
	for range 2 { // connecting is no acknowledgement
		st = s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
		before, _ = st.until(t, "roxy:live")
		if before[0].ID != published[2].Cursor.String() {
			t.Errorf("hello is %+v, want it at %s", before[0], published[2].Cursor)
		}
		same(t, orders(t, before), numbers(3, 6))
		_ = st.conn.Close()
	}
}

func acknowledgesByCursor(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.subscribe(t, "topic=orders/*&device=tablet-1", nil).until(t, "roxy:live")
	published := s.publish(t, nil, numbers(0, 5)...)
	for _, resume := range []struct {
		query string
		want  []string
	}{
		{"&after=" + published[3].Cursor.String(), numbers(4, 5)},
		{"&after=" + published[0].Cursor.String(), numbers(1, 5)}, // given what it asks for, and no further back than it was
		{"&after=earliest", numbers(0, 5)},
		{"", numbers(4, 5)},
	} {
		st := s.subscribe(t, "topic=orders/*&device=tablet-1"+resume.query, nil)
		replayed, _ := st.until(t, "roxy:live")
		same(t, orders(t, replayed), resume.want)
		_ = st.conn.Close()
	}
}

func overflows(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	st.until(t, "roxy:live")
	_ = st.conn.Close()
	s.publish(t, nil, numbers(0, 1000)...)
	st = s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	replayed, _ := st.until(t, "roxy:live")
	same(t, orders(t, replayed), numbers(0, 1000))
	_ = st.conn.Close()
	head := s.publish(t, nil, "1000")[0].Cursor.String()
	st = s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	before, live := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", "roxy:reset"})
	if before[0].ID != "" || before[1].ID != head || !strings.Contains(before[1].Data, `"reason":"overflow"`) || live.ID != head {
		t.Errorf("got %+v, and live at %s; want both at %s", before, live.ID, head)
	}
	s.publish(t, nil, "1001")
	same(t, orders(t, []Event{st.next(t)}), []string{"1001"})
}

func replaced(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	older := s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	older.until(t, "roxy:live")
	other := s.subscribe(t, "topic=orders/*&device=tablet-2", nil)
	other.until(t, "roxy:live")
	newer := s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	newer.until(t, "roxy:live")
	older.bye(t, hub.Replaced)
	s.publish(t, nil, "1")
	same(t, orders(t, []Event{newer.next(t), other.next(t)}), []string{"1", "1"})
	if err := s.Forget(t.Context(), s.who, "tablet-2"); err != nil {
		t.Fatal(err)
	}
	other.bye(t, hub.Replaced)
}

// toConfirm is what a critical event's envelope says of that.
type toConfirm struct {
	Ack     struct{ ID, By string }
	Attempt int
}

func (e Event) toConfirm(t *testing.T) (c toConfirm) {
	t.Helper()
	if err := json.Unmarshal([]byte(e.Data), &c); err != nil {
		t.Fatalf("%q: %v", e.Data, err)
	}
	return c
}

func critical(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	st := s.subscribe(t, "topic=orders/*&device=tablet-1", nil)
	st.until(t, "roxy:live")
	published := s.publish(t, func(e *roxy.Event) {
		e.Ack = &roxy.Ack{By: roxy.AckDevice, Within: time.Second, Attempts: 20}
	}, "1")[0].Cursor
	e := st.next(t)
	if c := e.toConfirm(t); e.ID != published.String() || c.Ack.ID != e.ID || c.Ack.By != "device" || c.Attempt != 1 {
		t.Errorf("got %+v", e)
	}
	_ = st.conn.Close()

	st = s.subscribe(t, "topic=orders/*&device=tablet-1&after="+published.String(), nil)
	before, _ := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", "order:new"})
	same(t, orders(t, before), []string{"1"})
	for e = before[1]; e.toConfirm(t).Attempt < 2; _, e = st.until(t, "order:new") {
		if e.ID != "" || e.toConfirm(t).Ack.ID != published.String() {
			t.Errorf("got %+v", e)
		}
	}
	if e.ID != "" || e.toConfirm(t).Ack.ID != published.String() {
		t.Errorf("delivered again: %+v", e)
	}
	_, status, err := s.Acknowledge(t.Context(), s.who, hub.Acks{Device: "tablet-1", Confirmed: []roxy.Cursor{published}})
	if err != nil || status[0] != roxy.AckConfirmed {
		t.Fatalf("%v, %v", status, err)
	}
	for _, said := range []string{`"status":"confirmed"`, `"settled":"acknowledged"`} {
		_, news := st.until(t, "roxy:ack")
		for strings.Contains(news.Data, `"delivered"`) { // of when it came back
			_, news = st.until(t, "roxy:ack")
		}
		parts(t, news.Data, `{"id":"`+published.String()+`"`)
		if news.ID != "" || !strings.Contains(news.Data, said) {
			t.Errorf("got %+v, want %s", news, said)
		}
	}
	_ = st.conn.Close()
	before, _ = s.subscribe(t, "topic=orders/*&device=tablet-1&after="+published.String(), nil).until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello"})
}

func deadLetters(t *testing.T, tr Transport) {
	s := open(t, tr, func(who *roxy.Identity) {
		letters, err := roxy.ParsePattern(roxy.DeadLetters)
		if err != nil {
			t.Fatal(err)
		}
		who.Grant.Read = append(who.Grant.Read[:1:1], letters)
	})
	st := s.subscribe(t, "topic="+roxy.DeadLetters, nil)
	st.until(t, "roxy:live")
	nobody := func(e *roxy.Event) {
		e.Ack, e.Correlation = &roxy.Ack{By: roxy.AckAny, Within: time.Second, Attempts: 1}, "c1"
		e.To = roxy.Audience{Users: []string{"u9"}}
	}
	cursor := s.publish(t, nobody, `"secret"`)[0].Cursor
	letter := roxy.Cursor{Epoch: cursor.Epoch, Offset: cursor.Offset + 1}
	for _, st := range []*stream{st, s.subscribe(t, "topic="+roxy.DeadLetters+"&after="+cursor.String(), nil)} {
		_, e := st.until(t, roxy.UnackedType)
		if e.ID != letter.String() || strings.Contains(e.Data, "secret") {
			t.Errorf("got %+v, want it at %s", e, letter)
		}
		parts(t, e.Data, `{"topic":"roxy/dead-letters"`, `"correlation":"c1"`, `"data":{"event":"`+cursor.String()+`","topic":"orders/1","type":"order:new"`, `"reason":"no-audience"`)
	}
}
