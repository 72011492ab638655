package transporttest

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/hub"
)

// entityLaws are those of docs/protocol.md §6.
func entityLaws() []law {
	return []law{
		{"a snapshot, then the tail", snapshotThenTail},
		{"a cursor that can be replayed needs no snapshot", resumesWithoutSnapshot},
		{"a reset is followed by a snapshot", resetsToSnapshot},
		{"a connection cut inside a snapshot comes back to all of it", cutInSnapshot},
		{"a change is told in the view of the roles", deltas},
		{"a receipt reaches the device of its author", receipt},
		{"bye: drain, to those whose view changes", viewChanges},
	}
}

// mutate commits mutations of s.who, each of orders/N, N being its place, unless it names a topic.
func (s *site) mutate(t *testing.T, mutations ...roxy.Mutation) []roxy.MutationResult {
	t.Helper()
	for i := range mutations {
		m := &mutations[i]
		if (m.Topic == roxy.Topic{}) {
			topic, err := roxy.ParseTopic(fmt.Sprintf("orders/%d", i+1))
			if err != nil {
				t.Fatal(err)
			}
			m.Topic = topic
		}
		m.Guard = roxy.GuardNone
	}
	results, err := s.Mutate(t.Context(), s.who, mutations)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func put(data string) roxy.Mutation { return roxy.Mutation{Op: roxy.Put, Data: []byte(data)} }

// parts wants the parts in a text, in their order.
func parts(t *testing.T, text string, want ...string) {
	t.Helper()
	rest := text
	for _, part := range want {
		_, behind, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("%s lacks %s, or in another order", text, part)
			return
		}
		rest = behind
	}
}

func snapshotThenTail(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.mutate(t, put(`{"a":"`+strings.Repeat("x", 70_000)+`"}`), put(`{"b":"é"}`))
	st := s.subscribe(t, "topic=orders/*&snapshot=1", nil)
	before, live := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", "roxy:entity", "roxy:entity"})
	for _, e := range before {
		if e.ID != "" {
			t.Errorf("a cursor before the end: %.100s", e.Data)
		}
	}
	if strings.Contains(before[0].Data, `"cursor"`) || !strings.HasSuffix(live.ID, ".2") {
		t.Errorf("hello is %s, and live is at %q", before[0].Data, live.ID)
	}
	parts(t, before[1].Data, `{"topic":"orders/1","version":1,"time":"`, `Z","data":{"a":"xxx`)
	parts(t, before[2].Data, `{"topic":"orders/2","version":1,"time":"`, `Z","data":{"b":"é"}}`)
	parts(t, live.Data, `"replayed":0,"entities":2}`)
	cursor := s.mutate(t, roxy.Mutation{Op: roxy.Patch, Data: []byte(`{"a":null,"n":1e400}`), ID: "m1", Correlation: "c1"})[0].Cursor.String()
	e := st.next(t)
	if e.Type != roxy.EntityUpdated || e.ID != cursor {
		t.Errorf("got %+v, want it at %s", e, cursor)
	}
	parts(t, e.Data, `{"topic":"orders/1","time":"`, `"by":"u7","correlation":"c1","op":"patch","version":2,"base":1,"patch":{"a":null,"n":1e400},"mutation":"m1"}`)
	s.mutate(t, roxy.Mutation{Op: roxy.Delete, Type: "order:gone"})
	if e = st.next(t); e.Type != "order:gone" || strings.Contains(e.Data, "patch") {
		t.Errorf("got %+v", e)
	}
	parts(t, e.Data, `"op":"delete","version":3,"base":2}`)
}

func resumesWithoutSnapshot(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	at := s.mutate(t, put(`{"n":1}`), put(`{"n":2}`))[0].Cursor.String()
	st := s.subscribe(t, "topic=orders/*&snapshot=1&after="+at, nil)
	before, live := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", roxy.EntityCreated})
	if before[0].ID != at || strings.Contains(live.Data, "entities") {
		t.Errorf("got %+v and %+v", before[0], live)
	}
}

func resetsToSnapshot(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.mutate(t, put(`{"n":1}`), put(`{"n":2}`))
	st := s.subscribe(t, "topic=orders/*&snapshot=1&after=other.1", nil)
	before, live := st.until(t, "roxy:live")
	same(t, types(before), []string{"roxy:hello", "roxy:reset", "roxy:entity", "roxy:entity"})
	for _, e := range before {
		if e.ID != "" {
			t.Errorf("a cursor before the end: %+v", e)
		}
	}
	if !strings.HasSuffix(live.ID, ".2") {
		t.Errorf("got %+v", live)
	}
}

func cutInSnapshot(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	const n = 400
	var batch []roxy.Mutation
	for _, number := range numbers(0, n) {
		batch = append(batch, put(`{"n":`+number+`}`))
	}
	s.mutate(t, batch...)
	cuts := 0
	for at := 900; ; at = at*3/2 + 37 {
		st, err := s.dial(t, "topic=orders/*&snapshot=1", func(c net.Conn) net.Conn { return &cut{Conn: c, left: at} })
		var got []Event
		for err == nil && (len(got) == 0 || got[len(got)-1].Type != "roxy:live") {
			var e Event
			if e, err = st.read(); err == nil {
				got = append(got, e)
			}
		}
		whole := err == nil
		if moved := slices.IndexFunc(got, func(e Event) bool { return e.ID != "" }); whole != (moved >= 0) || whole && moved != len(got)-1 {
			t.Fatalf("cut after %d bytes, event %d of %d moved the client", at, moved+1, len(got))
		}
		if !whole {
			cuts++
			continue
		}
		if len(got) != n+2 { // with hello and live
			t.Errorf("%d events", len(got))
		}
		break
	}
	if cuts < 3 {
		t.Errorf("the stream was cut %d times only", cuts)
	}
}

func deltas(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.hide(t, "manager")
	boss := s.who
	boss.Roles = []string{"manager"}
	waiter := s.subscribe(t, "topic=orders/*&snapshot=1", nil)
	waiter.until(t, "roxy:live")
	s.who = boss
	s.mutate(t, put(`{"cost":1,"n":1}`))
	s.mutate(t, put(`{"cost":2,"n":1}`))
	s.mutate(t, put(`{"n":2}`))
	for _, want := range []string{`"version":1,"base":0,"patch":{"n":1}}`, `"version":2,"base":1,"patch":{}}`, `"version":3,"base":2,"patch":{"n":2}}`} {
		parts(t, waiter.next(t).Data, want)
	}
	s.mutate(t, put(`{"cost":3,"n":3}`))
	later := s.subscribe(t, "topic=orders/*&snapshot=1", nil)
	before, _ := later.until(t, "roxy:live") // a snapshot of the second before, and what came since, or one of now
	if !strings.Contains(before[len(before)-1].Data, `"version":4`) {
		before = append(before, later.next(t)) // what the hub took a moment ago may come behind its live
	}
	parts(t, before[len(before)-1].Data, `"version":4`, `{"n":3}}`)
	for _, e := range before {
		if strings.Contains(e.Data, "cost") {
			t.Errorf("a waiter is told of %s", e.Data)
		}
	}
}

// hide has the roles alone see the cost of orders.
func (s *site) hide(t *testing.T, roles ...string) {
	t.Helper()
	on, err := roxy.ParsePattern("orders/*")
	if err != nil {
		t.Fatal(err)
	}
	path, err := roxy.ParseFieldPath("cost")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetFields([]hub.FieldRule{{Pattern: on, Path: path, Roles: roles}}); err != nil {
		t.Fatal(err)
	}
}

func receipt(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	mine := s.subscribe(t, "topic=orders/*&device=tablet-1&heartbeat=1s", nil)
	before, _ := mine.until(t, "roxy:live")
	parts(t, before[0].Data, `"device":"tablet-1"`)
	other := s.subscribe(t, "topic=orders/*&device=tablet-2", nil)
	other.until(t, "roxy:live")
	m := put(`{"n":1}`)
	m.ID, m.Device, m.Seq = "m1", "tablet-1", 1
	cursor := s.mutate(t, m)[0].Cursor.String()
	nowhere, err := roxy.ParseTopic("orders/none")
	if err != nil {
		t.Fatal(err)
	}
	m = roxy.Mutation{ID: "m2", Op: roxy.Delete, Topic: nowhere, Guard: roxy.GuardNone, Device: "tablet-1", Seq: 2}
	if _, err := s.Mutate(t.Context(), s.who, []roxy.Mutation{m}); err == nil {
		t.Error("a delete of nothing passed")
	}
	for _, want := range []string{`{"id":"m1","status":"committed","topic":"orders/1","version":1,"cursor":"` + cursor + `"}`, `{"id":"m2","status":"refused","topic":"orders/none","problem":{`} {
		_, e := mine.until(t, "roxy:receipt")
		if e.ID != "" || !strings.HasPrefix(e.Data, want) {
			t.Errorf("got %+v, want %s", e, want)
		}
		if !json.Valid([]byte(e.Data)) {
			t.Errorf("%s is not JSON", e.Data)
		}
	}
	for { // the cursor is where it was, or where the event is
		_, beat := mine.until(t, "roxy:heartbeat")
		if beat.ID == cursor {
			break
		}
	}
	s.publish(t, func(e *roxy.Event) { e.Type = "the:end" }, "1")
	others, _ := other.until(t, "the:end")
	same(t, types(others), []string{roxy.EntityCreated})
}

func viewChanges(t *testing.T, tr Transport) {
	s := open(t, tr, nil)
	s.hide(t, "manager")
	st := s.subscribe(t, "topic=orders/*", nil)
	st.until(t, "roxy:live")
	s.hide(t, "manager", "kitchen") // nothing to a waiter
	s.publish(t, nil, "1")
	before, _ := st.until(t, "order:new")
	same(t, types(before), nil)
	s.hide(t, "waiter")
	st.bye(t, hub.Drain)
}
