package client_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/internal/testkit"
)

func topicOf(t *testing.T, s string) roxy.Topic {
	t.Helper()
	topic, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestMutateIsToldWhatItRanInto(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	order := topicOf(t, "orders/7")
	done, err := c.Mutate(t.Context(),
		roxy.Mutation{Op: roxy.Put, Topic: order, Data: []byte(`{"table": 7, "status": "new", "note": null}`)},
		roxy.Mutation{Op: roxy.Patch, Topic: order, Data: []byte(`{"status":"ready"}`), Guard: roxy.GuardVersion, Base: 1})
	if err != nil || len(done) != 2 || done[1].Version != 2 || done[1].Outcome != roxy.Committed || done[1].Cursor.Offset != done[0].Cursor.Offset+1 {
		t.Fatalf("got %+v, %v", done, err)
	}
	// Another waiter, who has seen version 1, changes the same field.
	late := roxy.Mutation{ID: "late", Op: roxy.Patch, Topic: order, Data: []byte(`{"status":"paid"}`), Guard: roxy.GuardFields, Base: 1}
	for range 2 { // the refusal is what is stored of it
		_, err = c.Mutate(t.Context(), late)
		p, ok := errors.AsType[*roxy.Problem](err)
		if !ok || !errors.Is(err, roxy.ErrConflict) || p.Conflict == nil || p.Conflict.Current == nil || p.Conflict.Current.Version != 2 ||
			string(p.Conflict.Current.Data) != `{"status":"ready","table":7}` || fmt.Sprint(p.Conflict.Fields) != "[status]" {
			t.Fatalf("got %v, %+v", err, p)
		}
	}
	late.ID, late.Data = "other", []byte(`{"guests":4}`)
	if _, err = c.Mutate(t.Context(), late); err != nil {
		t.Fatalf("other fields clash: %v", err)
	}
	results, err := c.Results(t.Context(), "other", "late", "never")
	if err != nil || results[0].Outcome != roxy.Committed || results[0].Version != 3 || results[1].Outcome != roxy.Refused || results[1].Problem.Conflict == nil ||
		results[2].Outcome != roxy.Unknown {
		t.Fatalf("got %+v, %v", results, err)
	}
	if r, err := c.Cancel(t.Context(), "never"); err != nil || r.Outcome != roxy.Cancelled {
		t.Fatalf("got %+v, %v", r, err)
	}
	if _, err = c.Mutate(t.Context(), roxy.Mutation{ID: "never", Op: roxy.Delete, Topic: order}); !errors.Is(err, roxy.ErrCancelled) {
		t.Fatalf("what was cancelled: %v", err)
	}
	if _, err = c.Mutate(t.Context(), roxy.Mutation{Op: roxy.Delete, Topic: order}); err != nil {
		t.Fatal(err)
	}
	if _, _, err = c.Entity(t.Context(), order); !errors.Is(err, roxy.ErrNotFound) {
		t.Fatalf("what was deleted: %v", err)
	}
}

// However often the answer is lost, each mutation commits once, and its author learns at which version.
func TestMutateThroughACableThatIsCut(t *testing.T) {
	const mutations = 200
	hub := testkit.Start(t, testkit.Config{})
	cut := newCable(t, strings.TrimPrefix(hub.URL, "http://"), 1500)
	c := newClient(t, hub, "http://"+cut.address)
	order := topicOf(t, "orders/7")
	found := 0
	for n := range uint64(mutations) {
		done, err := c.Mutate(t.Context(), roxy.Mutation{Op: roxy.Put, Topic: order, Data: fmt.Appendf(nil, `{"n":%d}`, n), Guard: roxy.GuardVersion, Base: n})
		if err != nil || done[0].Version != n+1 {
			t.Fatalf("mutation %d: %+v, %v", n, done, err)
		}
		if done[0].Duplicate {
			found++
		}
	}
	if found == 0 {
		t.Errorf("the cable was cut %d times, and no answer was lost", cut.cuts.Load())
	}
}

func TestListIsAllThatMatchesAndWhereToFollowIt(t *testing.T) {
	const entities = 2500
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	fill(t, c, entities, &history{data: make(map[string][][]byte)})
	list, err := c.List(t.Context(), pattern(t, "orders/*"))
	if err != nil || list.Cursor.Offset != entities {
		t.Fatalf("at %s, %v", list.Cursor, err)
	}
	n := 0
	for e, err := range list.Entities(t.Context()) {
		if want := fmt.Sprintf("orders/%05d", n); err != nil || e.Topic.String() != want || e.Version != 1 {
			t.Fatalf("%d: %+v, %v; want %s", n, e, err, want)
		}
		if n++; n == 1 { // changes while it is listed lie behind its cursor
			if _, err := c.Mutate(t.Context(), roxy.Mutation{Op: roxy.Put, Topic: topicOf(t, "orders/x"), Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
		if n == entities {
			break
		}
	}
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}, After: &list.Cursor}) {
		if e, ok := m.(client.Event); err != nil || !ok || e.Topic.String() != "orders/x" || e.Change == nil || e.Change.Version != 1 {
			t.Fatalf("followed by %+v, %v", m, err)
		}
		break
	}
}

// fill makes orders/00000, orders/00001, …
func fill(t *testing.T, c *client.Client, entities int, h *history) {
	t.Helper()
	for from := 0; from < entities; from += 500 {
		var some []roxy.Mutation
		for n := from; n < min(from+500, entities); n++ {
			m := roxy.Mutation{Op: roxy.Put, Topic: topicOf(t, fmt.Sprintf("orders/%05d", n)), Data: fmt.Appendf(nil, `{"n":%d,"x":"%x"}`, n, rand.Uint64())}
			h.add(m.Topic, m.Data)
			some = append(some, m)
		}
		if _, err := c.Mutate(t.Context(), some...); err != nil {
			t.Fatal(err)
		}
	}
}

// history is what an entity was at each version.
type history struct {
	mu   sync.Mutex
	data map[string][][]byte // by topic; [0] is version 1, nil when it was deleted
}

func (h *history) add(topic roxy.Topic, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.data[topic.String()] = append(h.data[topic.String()], data)
}

// at waits for the version: the stream may be faster than its author's answer.
func (h *history) at(t *testing.T, topic roxy.Topic, version uint64) []byte {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		h.mu.Lock()
		versions := h.data[topic.String()]
		h.mu.Unlock()
		if uint64(len(versions)) >= version {
			return versions[version-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is at version %d, and nobody made it", topic, version)
		}
	}
}

// write changes the entities of one writer at random and keeps what they were.
func write(t *testing.T, c *client.Client, h *history, writer, changes int) error {
	t.Helper()
	rng := rand.New(rand.NewPCG(uint64(writer), 1)) // the same changes each time
	current := make(map[roxy.Topic][]byte)
	for range changes {
		topic := topicOf(t, fmt.Sprintf("orders/%d-%d", writer, rng.IntN(40)))
		m := roxy.Mutation{Op: roxy.Patch, Topic: topic, Data: fmt.Appendf(nil, `{"f%d":{"%d":%d},"x":"%x"}`, rng.IntN(3), rng.IntN(3), rng.IntN(9), rng.Uint64())}
		if rng.IntN(4) == 0 {
			m.Data = fmt.Appendf(nil, `{"f%d":null}`, rng.IntN(3))
		}
		now := document.Merge(current[topic], m.Data)
		switch {
		case current[topic] == nil || rng.IntN(10) == 0:
			m.Op, now = roxy.Put, document.Merge([]byte("{}"), m.Data)
		case rng.IntN(10) == 0:
			m.Op, m.Data, now = roxy.Delete, nil, nil
		}
		if _, err := c.Mutate(t.Context(), m); err != nil {
			return err
		}
		current[topic] = now
		h.add(topic, now)
	}
	return nil
}

// A replica behind a cable that is cut, in the middle of snapshots too, has every entity as it was at each version that it
// tells, and in the end all as the hub has them.
func TestReplicaThroughACableThatIsCut(t *testing.T) {
	const before, writers, changes = 250, 3, 700
	hub := testkit.Start(t, testkit.Config{})
	h := &history{data: make(map[string][][]byte)}
	direct := newClient(t, hub, hub.URL)
	fill(t, direct, before, h)
	var writing sync.WaitGroup
	failures := make(chan error, writers)
	for n := range writers {
		c := newClient(t, hub, hub.URL)
		writing.Go(func() { failures <- write(t, c, h, n, changes) })
	}
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()

	orders := []roxy.Pattern{pattern(t, "orders/*")}
	cut := newCable(t, strings.TrimPrefix(hub.URL, "http://"), 16<<10)
	c := newClient(t, hub, "http://"+cut.address)
	partial, last, ended := 0, uint64(0), false
	replica := client.NewReplica(c)
	for round := 0; !ended; round++ { // each begins as a fresh screen does
		given, events := false, 0
		for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: orders, Snapshot: true}) {
			if err == nil {
				err = replica.Take(t.Context(), m)
			}
			if err != nil {
				t.Fatal(err)
			}
			var topic roxy.Topic
			switch m := m.(type) {
			case client.Snapshot:
				if given {
					partial++
				}
				given = false
			case client.Entity:
				given, topic = true, m.Topic
			case client.Live:
				given = false
				last = max(last, m.Cursor.Offset)
			case client.Event:
				given, topic, last = false, m.Topic, max(last, m.Cursor.Offset)
				events++
			}
			if topic != (roxy.Topic{}) {
				hold(t, replica, h, topic)
			}
			if round < 5 && events == 200 {
				break
			}
			if ended = last == before+writers*changes && replica.Live(); ended {
				break
			}
		}
	}
	<-written
	for range writers {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	same(t, replica, direct, orders[0])
	if partial == 0 {
		t.Errorf("the cable was cut %d times, and never in the middle of a snapshot", cut.cuts.Load())
	}
}

// same compares the copy with all that matches.
func same(t *testing.T, r *client.Replica, c *client.Client, pattern roxy.Pattern) {
	t.Helper()
	n := 0
	for e, err := range c.Entities(t.Context(), pattern) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if mine, ok := r.Entity(e.Topic); !ok || mine.Version != e.Version || string(mine.Data) != string(e.Data) {
			t.Errorf("the copy has %s at %d as %s, the hub at %d as %s", e.Topic, mine.Version, mine.Data, e.Version, e.Data)
		}
	}
	for range r.Entities() {
		n--
	}
	if n != 0 {
		t.Errorf("the copy lacks %d entities", n)
	}
}

// hold compares what the replica has at topic with what that version was.
func hold(t *testing.T, r *client.Replica, h *history, topic roxy.Topic) {
	t.Helper()
	e, ok := r.Entity(topic)
	if !ok && e.Version == 0 {
		t.Fatalf("the copy knows nothing of %s", topic)
	}
	if want := h.at(t, topic, e.Version); string(e.Data) != string(want) {
		t.Fatalf("the copy has %s at %d as %s, it was %s", topic, e.Version, e.Data, want)
	}
}

// A hub that is killed or drained costs a copy nothing: its subscription resumes, or begins with a snapshot.
func TestReplicaAcrossTheDeathsOfTheHub(t *testing.T) {
	const changes = 900
	hub := testkit.Start(t, testkit.Config{YAML: "drain: { over: 100ms }\n"})
	h := &history{data: make(map[string][][]byte)}
	c := newClient(t, hub, hub.URL)
	written := make(chan error, 1)
	go func() { written <- write(t, newClient(t, hub, hub.URL), h, 1, changes) }()
	deaths := map[uint64]func(testing.TB){100: hub.Kill9, 400: hub.Stop, 600: hub.Kill9}
	replica := client.NewReplica(c)
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Snapshot: true}) {
		if err == nil {
			err = replica.Take(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case client.Entity:
			hold(t, replica, h, m.Topic)
		case client.Event:
			hold(t, replica, h, m.Topic)
			for at, die := range deaths {
				if m.Offset >= at {
					delete(deaths, at)
					die(t)
					hub.Restart(t)
				}
			}
		case client.Reset:
			t.Fatalf("reset for %s", m.Reason)
		}
		if e, ok := m.(client.Event); ok && e.Offset == changes {
			break
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	same(t, replica, c, pattern(t, "orders/*"))
}

// Who may no longer see a field loses it from a live copy, and gets it back when it may again.
func TestReplicaFollowsWhatItsRolesMaySee(t *testing.T) {
	const roles = `    everything: { read: ["**"], write: ["**"] }
    waiter: { read: ["orders/*"] }`
	hub := testkit.Start(t, testkit.Config{Roles: roles})
	author := newClient(t, hub, hub.URL)
	put := func(data string) {
		if _, err := author.Mutate(t.Context(), roxy.Mutation{Op: roxy.Put, Topic: topicOf(t, "orders/7"), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"cost":3,"table":7}`)
	c := newClientAs(t, hub, hub.URL, testkit.Claims{User: "w", Roles: []string{"waiter"}})
	replica := client.NewReplica(c)
	var got []string
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Snapshot: true}) {
		if err == nil {
			err = replica.Take(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := m.(client.Reset); ok {
			got = append(got, r.Reason)
		}
		if _, live := m.(client.Live); !live || !replica.Live() {
			continue
		}
		e, _ := replica.Entity(topicOf(t, "orders/7"))
		got = append(got, fmt.Sprintf("%d%s", e.Version, e.Data))
		switch len(got) {
		case 1: // the change of the file is noticed within a second
			hub.Configure(t, testkit.Config{Roles: roles + "\n  fields:\n    \"orders/*\": { cost: [everything] }"})
			put(`{"cost":4,"table":8}`)
		case 3:
			hub.Configure(t, testkit.Config{Roles: roles})
		}
		if len(got) == 5 {
			break
		}
	}
	if want := `[1{"cost":3,"table":7} view 2{"table":8} view 2{"cost":4,"table":8}]`; fmt.Sprint(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSubscribeHearsTheReceiptsOfItsDevice(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	c := newClient(t, hub, hub.URL)
	order := topicOf(t, "orders/7")
	mutate := func(id, device string, base uint64) {
		m := roxy.Mutation{ID: id, Op: roxy.Put, Topic: order, Data: []byte("{}"), Device: device, Guard: roxy.GuardVersion, Base: base}
		if _, err := c.Mutate(t.Context(), m); err != nil && !errors.Is(err, roxy.ErrConflict) {
			t.Fatal(err)
		}
	}
	var got []string
	for m, err := range c.Subscribe(t.Context(), client.Subscription{Patterns: []roxy.Pattern{pattern(t, "calls/*")}, Device: "bar-1"}) {
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case client.Live:
			mutate("other", "bar-2", 0)
			mutate("good", "bar-1", 1)
			mutate("bad", "bar-1", 1)
		case client.Receipt:
			if got = append(got, fmt.Sprintf("%s %s %d", m.ID, m.Outcome, m.Version)); m.Outcome == roxy.Refused && m.Problem.Conflict.Current.Version != 2 {
				t.Errorf("refused for %+v", m.Problem)
			}
		}
		if len(got) == 2 {
			break
		}
	}
	if fmt.Sprint(got) != "[good committed 2 bad refused 0]" {
		t.Errorf("got %q", got)
	}
}
