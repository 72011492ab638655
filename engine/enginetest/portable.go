package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
)

// Portable is an engine whose tenants can be moved.
type Portable interface {
	Stateful
	engine.Restorer
}

// Restorer runs the contract of engine.Restorer against what open returns, as Log does.
func Restorer(t *testing.T, open func(t *testing.T) Portable) {
	t.Helper()
	for name, holds := range map[string]func(t *testing.T, from, to Portable){
		"a moved tenant is the same, however it was cut":             movedIsTheSame,
		"a log that begins behind 1 is moved as it is":               movedBehindOne,
		"a log of which nothing is retained goes on counting":        movedWithoutEvents,
		"until the end nobody else is let in":                        closedUntilTheEnd,
		"only the same export goes on, and only an empty one begins": oneExportAlone,
		"a part that does not fit changes nothing":                   unfitPart,
		"ids go along with what they stand for":                      idsGoAlong,
		"what was given up leaves an empty tenant of another life":   abandoned,
		"tails yield what is restored":                               tailsYieldRestored,
	} {
		t.Run(name, func(t *testing.T) { holds(t, open(t), open(t)) })
	}
}

// exported returns the tenant "bar" as one part.
func exported(t testing.TB, e Portable) engine.Restoration {
	t.Helper()
	s, err := e.Snapshot(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	part := engine.Restoration{Of: s.Bounds(), End: true}
	if part.Of.First <= part.Of.Head {
		part.Events = readAll(t, e, "bar", engine.Query{After: part.Of.First - 1, Until: part.Of.Head})
	}
	for state, err := range s.States(t.Context(), roxy.Topic{}) {
		if err != nil {
			t.Fatal(err)
		}
		part.States = append(part.States, state)
	}
	part.Entities = uint64(len(part.States))
	return part
}

// cut returns the part as parts of at most n events or entities.
func cut(part engine.Restoration, n int) (parts []engine.Restoration) {
	for events := part.Events; len(events) > 0; events = events[min(n, len(events)):] {
		parts = append(parts, engine.Restoration{Of: part.Of, Events: events[:min(n, len(events))]})
	}
	for states := part.States; len(states) > 0; states = states[min(n, len(states)):] {
		parts = append(parts, engine.Restoration{Of: part.Of, States: states[:min(n, len(states))]})
	}
	return append(parts, engine.Restoration{Of: part.Of, End: true, Entities: part.Entities})
}

func restore(t testing.TB, e engine.Restorer, parts ...engine.Restoration) (last engine.Restored) {
	t.Helper()
	for i := range parts {
		var err error
		if last, err = e.Restore(t.Context(), "bar", parts[i]); err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	return last
}

func wantProblem(t testing.TB, err error, code roxy.Code) {
	t.Helper()
	if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != code {
		t.Errorf("%v, want %s", err, code)
	}
}

// evening fills the tenant "bar" with events and entities of all kinds.
func evening(t testing.TB, e Portable) {
	t.Helper()
	phone, err := roxy.ParseFieldPath("customer.phone")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		topic := mustTopic(t, fmt.Sprintf("orders/%d", i))
		ev := newEvent(t, "calls/1", fmt.Sprintf("k-%d", i))
		ev.To, ev.Urgent = roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"u1"}}, i%2 == 0
		if i == 7 {
			ev.Data = nil
		}
		commit(t, e, "bar", ev)
		m := put(topic, `{"customer":{"name":"Ann","phone":"1"},"n":1}`)
		m.ID, m.Device, m.Seq, m.Parts = fmt.Sprintf("m-%d", i), "t1", uint64(i+1), document.NewParts(phone)
		mutate(t, e, m)
		mutate(t, e, patch(topic, `{"n":2}`), patch(topic, `{"n":null}`))
	}
	mutate(t, e, remove(mustTopic(t, "orders/3")))
}

func movedIsTheSame(t *testing.T, from, to Portable) {
	evening(t, from)
	want := exported(t, from)
	last := restore(t, to, cut(want, 7)...)
	if last.Running || last.Epoch != want.Of.Epoch || last.Head != want.Of.Head {
		t.Errorf("it ended as %+v", last)
	}
	if got := exported(t, to); !reflect.DeepEqual(got, want) {
		t.Errorf("what was moved differs: %+v\nwant %+v", got, want)
	}
	// And it lives on.
	mutate(t, to, guarded(patch(mustTopic(t, "orders/1"), `{"n":9}`), roxy.GuardVersion, 3))
	wantEntity(t, to, mustTopic(t, "orders/1"), 4, `{"customer":{"name":"Ann","phone":"1"},"n":9}`)
	mutate(t, to, put(mustTopic(t, "orders/3"), `{}`))
	wantEntity(t, to, mustTopic(t, "orders/3"), 5, `{}`) // the tombstone came along
	if b := bounds(t, to, "bar"); b.Head != want.Of.Head+2 {
		t.Errorf("head %d, want %d", b.Head, want.Of.Head+2)
	}
}

func movedBehindOne(t *testing.T, from, to Portable) {
	evening(t, from)
	if err := from.Trim(t.Context(), "bar", 50); err != nil {
		t.Fatal(err)
	}
	want := exported(t, from)
	restore(t, to, want)
	if got := bounds(t, to, "bar"); got != bounds(t, from, "bar") || got.First != 51 {
		t.Errorf("bounds %+v, want %+v", got, want.Of)
	}
	if err := readError(t, to, "bar", engine.Query{After: 49}); !errors.Is(err, engine.ErrTrimmed) {
		t.Errorf("read after 49: %v, want ErrTrimmed", err)
	}
	if err := to.Trim(t.Context(), "bar", 60); err != nil {
		t.Fatal(err)
	}
	wantOffsets(t, readAll(t, to, "bar", engine.Query{After: 60}), numbers(61, want.Of.Head))
	wantOffsets(t, readAll(t, to, "bar", engine.Query{After: 60, Topics: []roxy.Topic{mustTopic(t, "calls/1")}}), offsetsOf(readAll(t, from, "bar", engine.Query{After: 60, Topics: []roxy.Topic{mustTopic(t, "calls/1")}})))
}

func movedWithoutEvents(t *testing.T, from, to Portable) {
	mutate(t, from, put(mustTopic(t, "orders/1"), `{"a":1}`))
	commit(t, from, "bar", newEvents(t, "calls/1", 9)...)
	if err := from.Trim(t.Context(), "bar", 10); err != nil {
		t.Fatal(err)
	}
	restore(t, to, cut(exported(t, from), 1)...)
	wantEntity(t, to, mustTopic(t, "orders/1"), 1, `{"a":1}`)
	if r := commit(t, to, "bar", newEvent(t, "calls/1", "")); r.Entries[0].Offset != 11 || r.Epoch != bounds(t, from, "bar").Epoch {
		t.Errorf("the next event stands at %+v", r)
	}
}

func closedUntilTheEnd(t *testing.T, from, to Portable) {
	evening(t, from)
	parts := cut(exported(t, from), 50)
	topic := mustTopic(t, "orders/1")
	for i := range parts {
		restore(t, to, parts[i])
		if i == len(parts)-1 {
			break
		}
		_, commitErr := to.Commit(t.Context(), "bar", newEvents(t, "calls/1", 1))
		_, mutateErr := to.Mutate(t.Context(), "bar", []engine.Mutation{put(topic, `{}`)})
		_, boundsErr := to.Bounds(t.Context(), "bar")
		_, entityErr := to.Entity(t.Context(), "bar", topic)
		_, snapshotErr := to.Snapshot(t.Context(), "bar")
		_, resultsErr := to.Results(t.Context(), "bar", "waiter-7", []string{"m-1"})
		_, cancelErr := to.Cancel(t.Context(), "bar", "waiter-7", "m-99")
		for _, err := range []error{commitErr, mutateErr, boundsErr, entityErr, snapshotErr, resultsErr, cancelErr} {
			wantProblem(t, err, roxy.NotReady)
		}
		commit(t, to, "pub", newEvents(t, "calls/1", 1)...) // another tenant is not concerned
	}
	mutate(t, to, patch(topic, `{"n":3}`))
}

func oneExportAlone(t *testing.T, from, to Portable) {
	evening(t, from)
	part := exported(t, from)
	parts := cut(part, 20)
	mutate(t, from, patch(mustTopic(t, "orders/1"), `{"n":7}`))
	later := exported(t, from)

	// Into the tenant that it came from, and into any other that holds something.
	_, err := from.Restore(t.Context(), "bar", part)
	wantProblem(t, err, roxy.NotEmpty)
	commit(t, to, "bar", newEvents(t, "calls/1", 1)...)
	before := bounds(t, to, "bar")
	_, err = to.Restore(t.Context(), "bar", part)
	wantProblem(t, err, roxy.NotEmpty)
	if after := bounds(t, to, "bar"); after != before {
		t.Errorf("bounds %+v, before %+v", after, before)
	}

	if _, err := to.Restore(t.Context(), "pub", parts[0]); err != nil {
		t.Fatal(err)
	}
	_, err = to.Restore(t.Context(), "pub", later)
	wantProblem(t, err, roxy.NotEmpty)
	for _, p := range []engine.Restoration{parts[0], parts[1], parts[0], parts[1]} { // whoever got no answer repeats
		if _, err := to.Restore(t.Context(), "pub", p); err != nil {
			t.Fatal(err)
		}
	}
	at, err := to.Restored(t.Context(), "pub")
	if err != nil || !at.Running || at.Of != part.Of || at.Head != 40 {
		t.Errorf("it stands at %+v: %v", at, err)
	}
	if _, err := to.Restore(t.Context(), "pub", part); err != nil { // the whole, of which some is there
		t.Fatal(err)
	}
	if b := bounds(t, to, "pub"); b != part.Of {
		t.Errorf("bounds %+v, want %+v", b, part.Of)
	}
}

func unfitPart(t *testing.T, from, to Portable) {
	evening(t, from)
	part := exported(t, from)
	parts := cut(part, 40)
	change := func(p engine.Restoration, f func(*engine.Restoration)) engine.Restoration {
		p.Events = append([]roxy.Event(nil), p.Events...)
		p.States = append([]engine.State(nil), p.States...)
		f(&p)
		return p
	}
	for i := range parts {
		for name, bad := range map[string]engine.Restoration{
			"a hole":                change(part, func(p *engine.Restoration) { p.Events = append(p.Events[:1], p.Events[2:]...) }),
			"a wrong epoch's name":  change(part, func(p *engine.Restoration) { p.Of.Epoch = "Not.One" }),
			"an event beyond":       change(part, func(p *engine.Restoration) { p.Events = append(p.Events, p.Events[0]) }),
			"a time that goes back": change(part, func(p *engine.Restoration) { p.Events[60].Time = p.Events[0].Time.Add(-1) }),
			"unsorted entities":     change(part, func(p *engine.Restoration) { p.States[0], p.States[1] = p.States[1], p.States[0] }),
			"an entity of no log":   change(part, func(p *engine.Restoration) { p.States[0].Offset = p.Of.Head + 1 }),
			"too few entities":      change(part, func(p *engine.Restoration) { p.Entities++ }),
		} {
			if _, err := to.Restore(t.Context(), "bar", bad); err == nil {
				t.Fatalf("%s: taken in", name)
			} else {
				wantProblem(t, err, roxy.InvalidImport)
			}
		}
		if i+2 < len(parts) && len(parts[i+1].Events) > 0 {
			_, err := to.Restore(t.Context(), "bar", parts[i+1])
			wantProblem(t, err, roxy.InvalidImport)
		}
		restore(t, to, parts[i])
	}
	if got := exported(t, to); !reflect.DeepEqual(got, part) {
		t.Error("what was refused left something")
	}
}

func idsGoAlong(t *testing.T, from, to Portable) {
	ev := newEvent(t, "calls/1", "k-1")
	first := commit(t, from, "bar", newEvent(t, "calls/1", "k-0"), ev)
	m := put(mustTopic(t, "orders/1"), `{"a":1}`)
	m.ID = "m-1"
	mutate(t, from, m)
	restore(t, to, exported(t, from))
	again := commit(t, to, "bar", ev)
	if !again.Entries[0].Duplicate || again.Entries[0].Offset != first.Entries[1].Offset || again.Epoch != first.Epoch {
		t.Errorf("the event stands at %+v, and first at %+v", again, first)
	}
	other := ev
	other.Data = []byte(`"another"`)
	if _, err := to.Commit(t.Context(), "bar", []roxy.Event{other}); !errors.Is(err, roxy.ErrKeyReused) {
		t.Errorf("another event with the id: %v", err)
	}
	if r := mutate(t, to, m)[0]; !r.Duplicate || !r.Created || r.Version != 1 || r.Cursor.Offset != 3 || r.Topic != m.Topic {
		t.Errorf("the mutation is told %+v", r)
	}
	if r, err := to.Cancel(t.Context(), "bar", m.By, m.ID); err != nil || r.Outcome != roxy.Committed {
		t.Errorf("a committed one is cancelled: %+v, %v", r, err)
	}
	wantEntity(t, to, m.Topic, 1, `{"a":1}`)
}

func abandoned(t *testing.T, from, to Portable) {
	wantProblem(t, to.Abandon(t.Context(), "bar"), roxy.NotEmpty)
	evening(t, from)
	part := exported(t, from)
	parts := cut(part, 25)
	for range 2 {
		restore(t, to, parts[:len(parts)-1]...)
		if err := to.Abandon(t.Context(), "bar"); err != nil {
			t.Fatal(err)
		}
		b := bounds(t, to, "bar")
		if b.Head != 0 || b.First != 1 || b.Epoch == part.Of.Epoch {
			t.Errorf("bounds %+v of an empty tenant", b)
		}
		wantEntity(t, to, mustTopic(t, "orders/1"), 0, "")
		if got := exported(t, to); len(got.States)+len(got.Events) != 0 {
			t.Errorf("%d events and %d entities are left", len(got.Events), len(got.States))
		}
	}
	r := commit(t, to, "bar", newEvent(t, "calls/1", "k-1"))
	if e := r.Entries[0]; e.Duplicate || e.Offset != 1 {
		t.Errorf("an id of what was given up is known: %+v", e)
	}
	m := put(mustTopic(t, "orders/1"), `{"z":1}`)
	m.ID = "m-1"
	mutate(t, to, m)
	wantEntity(t, to, m.Topic, 1, `{"z":1}`)
	wantOffsets(t, readAll(t, to, "bar", engine.Query{}), numbers(1, 2))
	wantProblem(t, to.Abandon(t.Context(), "bar"), roxy.NotEmpty)
}

func tailsYieldRestored(t *testing.T, from, to Portable) {
	evening(t, from)
	part := exported(t, from)
	tail := to.Tail()
	defer tail.Close()
	restore(t, to, cut(part, 30)...)
	var got []roxy.Event
	for len(got) < len(part.Events) {
		committed, err := tail.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range committed {
			if c.Tenant != "bar" || c.Epoch != part.Of.Epoch {
				t.Errorf("a run of %s in %s", c.Tenant, c.Epoch)
			}
			got = append(got, c.Events...)
		}
	}
	if !reflect.DeepEqual(got, part.Events) {
		t.Error("the tail yields other events than were restored")
	}
}
