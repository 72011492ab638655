package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
)

// Stateful is a log with the entities that change with it.
type Stateful interface {
	TrimmableLog
	engine.Entities
	engine.Mutations
}

// Entities runs the contract of engine.Entities and engine.Mutations against what open returns, as Log does.
func Entities(t *testing.T, open func(t *testing.T) Stateful) {
	t.Helper()
	for _, law := range entityLaws() {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

func entityLaws() []law[Stateful] {
	return []law[Stateful]{
		{"a put creates, a patch changes, a delete leaves a tombstone that goes on counting", lifeOfAnEntity},
		{"state and log move in one step", stateFollowsLog},
		{"a whole version guards", versionGuard},
		{"fields guard against others, not against the own device", fieldsGuard},
		{"a call commits all of its mutations or none", allOrNone},
		{"a repeated id finds its stored result, a refusal too", storedResults},
		{"a cancelled mutation never commits", cancelled},
		{"hidden parts are neither changed nor guarded", hiddenParts},
		{"a snapshot stays at its position", snapshotStays},
		{"a snapshot selects by pattern, in order, behind a topic", snapshotSelects},
		{"concurrent authors lose nothing", concurrentAuthors},
		{"a mutation that finds a bug takes nobody along", bugStaysAlone},
		{"entities outlive the events that made them", outliveTrims},
	}
}

func put(topic roxy.Topic, data string) engine.Mutation {
	return engine.Mutation{Mutation: roxy.Mutation{Op: roxy.Put, Topic: topic, Data: []byte(data), Guard: roxy.GuardNone, By: "waiter-7"}}
}

func patch(topic roxy.Topic, data string) engine.Mutation {
	m := put(topic, data)
	m.Op = roxy.Patch
	return m
}

func remove(topic roxy.Topic) engine.Mutation {
	return engine.Mutation{Mutation: roxy.Mutation{Op: roxy.Delete, Topic: topic, Guard: roxy.GuardNone, By: "waiter-7"}}
}

func guarded(m engine.Mutation, guard roxy.Guard, base uint64) engine.Mutation {
	m.Guard, m.Base = guard, base
	return m
}

func mutate(t testing.TB, e engine.Entities, mutations ...engine.Mutation) []roxy.MutationResult {
	t.Helper()
	results, err := e.Mutate(t.Context(), "bar", mutations)
	if err != nil {
		t.Fatalf("mutate: %v", err)
	}
	if len(results) != len(mutations) {
		t.Fatalf("%d results for %d mutations", len(results), len(mutations))
	}
	return results
}

func refused(t testing.TB, e engine.Entities, mutations ...engine.Mutation) *engine.Refusal {
	t.Helper()
	_, err := e.Mutate(t.Context(), "bar", mutations)
	r, ok := errors.AsType[*engine.Refusal](err)
	if !ok {
		t.Fatalf("want a refusal, got %v", err)
	}
	return r
}

func wantRefused(t testing.TB, e engine.Entities, code roxy.Code, mutations ...engine.Mutation) {
	t.Helper()
	if r := refused(t, e, mutations...); r.Problem.Code != code {
		t.Fatalf("refused as %s (%v), want %s", r.Problem.Code, r.Problem, code)
	}
}

func entity(t testing.TB, e engine.Entities, topic roxy.Topic) roxy.Entity {
	t.Helper()
	got, err := e.Entity(t.Context(), "bar", topic)
	if err != nil {
		t.Fatalf("entity %s: %v", topic, err)
	}
	return got
}

func wantEntity(t testing.TB, e engine.Entities, topic roxy.Topic, version uint64, data string) {
	t.Helper()
	if got := entity(t, e, topic); got.Version != version || string(got.Data) != data {
		t.Errorf("%s is at version %d: %s, want %d: %s", topic, got.Version, got.Data, version, data)
	}
}

func lifeOfAnEntity(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	wantEntity(t, e, topic, 0, "")
	wantRefused(t, e, roxy.NotFound, patch(topic, `{"status":"ready"}`))
	wantRefused(t, e, roxy.NotFound, remove(topic))
	r := mutate(t, e, put(topic, `{"note":"no ice","status":"new","table":7}`))[0]
	if r.Outcome != roxy.Committed || r.Version != 1 || r.Cursor.Offset != 1 {
		t.Errorf("%+v", r)
	}
	mutate(t, e, patch(topic, `{"note":null,"status":"ready"}`))
	wantEntity(t, e, topic, 2, `{"status":"ready","table":7}`)
	mutate(t, e, patch(topic, `{"status":"ready"}`)) // equal values commit like any others
	wantEntity(t, e, topic, 3, `{"status":"ready","table":7}`)
	mutate(t, e, remove(topic))
	wantEntity(t, e, topic, 4, "")
	wantRefused(t, e, roxy.NotFound, patch(topic, `{"status":"ready"}`))
	mutate(t, e, put(topic, `{"table":8}`))
	wantEntity(t, e, topic, 5, `{"table":8}`)
	var told []string
	for _, ev := range readAll(t, e, "bar", engine.Query{}) {
		told = append(told, fmt.Sprintf("%d %s %s %d %s %s %s", ev.Offset, ev.Type, ev.Change.Op, ev.Change.Version, ev.Change.Patch, ev.Change.Undo, ev.By))
	}
	want := []string{
		`1 entity:created put 1 {"note":"no ice","status":"new","table":7}  waiter-7`,
		`2 entity:updated patch 2 {"note":null,"status":"ready"} {"note":"no ice","status":"new"} waiter-7`,
		`3 entity:updated patch 3   waiter-7`,
		`4 entity:deleted delete 4   waiter-7`,
		`5 entity:created put 5 {"table":8}  waiter-7`,
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("the log tells\n%q\nwant\n%q", told, want)
	}
}

func stateFollowsLog(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	commit(t, e, "bar", newEvents(t, "orders/1", 3)...)
	tail := e.Tail()
	defer tail.Close()
	r := mutate(t, e, put(topic, `{"a":1}`), patch(topic, `{"a":2}`))
	if r[0].Cursor.Offset != 4 || r[1].Cursor.Offset != 5 || r[1].Version != 2 {
		t.Errorf("%+v", r)
	}
	if got := entity(t, e, topic); got.Offset != 5 || got.Time.IsZero() {
		t.Errorf("the entity stands at %d, %s", got.Offset, got.Time)
	}
	committed, err := tail.Next(t.Context())
	if err != nil || len(committed) != 1 || len(committed[0].Events) != 2 || committed[0].Events[1].Change.Version != 2 {
		t.Errorf("the tail tells %+v, %v", committed, err)
	}
	if b := bounds(t, e, "bar"); b.Head != 5 {
		t.Errorf("head %d", b.Head)
	}
}

func versionGuard(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	wantRefused(t, e, roxy.VersionConflict, guarded(put(topic, `{}`), roxy.GuardVersion, 3))
	mutate(t, e, guarded(put(topic, `{"a":1}`), roxy.GuardVersion, 0))
	wantRefused(t, e, roxy.VersionConflict, guarded(put(topic, `{"a":1}`), roxy.GuardVersion, 0))
	mutate(t, e, guarded(patch(topic, `{"a":2}`), roxy.GuardVersion, 1))
	wantRefused(t, e, roxy.VersionConflict, guarded(patch(topic, `{"a":3}`), roxy.GuardVersion, 1))
	wantRefused(t, e, roxy.VersionConflict, guarded(remove(topic), roxy.GuardVersion, 1))
	mutate(t, e, guarded(remove(topic), roxy.GuardVersion, 2))
	present := patch(topic, `{"a":4}`)
	present.Present = true
	wantRefused(t, e, roxy.VersionConflict, present)
	mutate(t, e, guarded(put(topic, `{"a":5}`), roxy.GuardVersion, 0)) // a tombstone is no entity
	mutate(t, e, present)
	wantEntity(t, e, topic, 5, `{"a":4}`)
}

func fieldsGuard(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	by := func(m engine.Mutation, user, device string, seq uint64) engine.Mutation {
		m.By, m.Device, m.Seq = user, device, seq
		return m
	}
	mutate(t, e, put(topic, `{"a":1,"b":1,"c":1}`))
	mutate(t, e, by(guarded(patch(topic, `{"a":2}`), roxy.GuardFields, 1), "u1", "t1", 1)) // version 2
	mutate(t, e, by(guarded(patch(topic, `{"b":2}`), roxy.GuardFields, 1), "u2", "t2", 1)) // another field rebases
	r := refused(t, e, by(guarded(patch(topic, `{"a":3,"b":3,"c":3}`), roxy.GuardFields, 1), "u3", "t3", 1))
	if got := r.Problem.Conflict.Fields; !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("fields %q clash, want a and b", got)
	}
	mutate(t, e, by(guarded(patch(topic, `{"a":2}`), roxy.GuardFields, 1), "u3", "t3", 2))                            // the same value is no clash
	mutate(t, e, by(guarded(patch(topic, `{"a":4}`), roxy.GuardFields, 1), "u1", "t1", 2))                            // its own earlier change
	wantRefused(t, e, roxy.VersionConflict, by(guarded(patch(topic, `{"a":5}`), roxy.GuardFields, 1), "u1", "t1", 1)) // not a later one
	wantRefused(t, e, roxy.VersionConflict, by(guarded(patch(topic, `{"a":5}`), roxy.GuardFields, 1), "u9", "t1", 9)) // not another user's device
	wantRefused(t, e, roxy.VersionConflict, by(guarded(patch(topic, `{"a":5}`), roxy.GuardFields, 99), "u1", "t1", 9))
	wantEntity(t, e, topic, 5, `{"a":4,"b":2,"c":1}`)
	mutate(t, e, patch(topic, `{"c":null}`)) // version 6
	wantRefused(t, e, roxy.VersionConflict, guarded(patch(topic, `{"c":7}`), roxy.GuardFields, 5))
	wantRefused(t, e, roxy.VersionConflict, guarded(put(topic, `{"a":4,"b":2,"c":7}`), roxy.GuardFields, 5))
	mutate(t, e, guarded(put(topic, `{"a":4,"b":9}`), roxy.GuardFields, 5)) // 7: c is gone either way
	wantRefused(t, e, roxy.VersionConflict, guarded(remove(topic), roxy.GuardFields, 6))
	mutate(t, e, remove(topic)) // 8
	wantRefused(t, e, roxy.VersionConflict, guarded(put(topic, `{"z":1}`), roxy.GuardFields, 7))
	mutate(t, e, guarded(put(topic, `{"z":1}`), roxy.GuardFields, 8))
	wantEntity(t, e, topic, 9, `{"z":1}`)
}

func allOrNone(t *testing.T, e Stateful) {
	one, two := mustTopic(t, "orders/1"), mustTopic(t, "tables/2")
	mutate(t, e, put(one, `{"a":1}`))
	fresh := put(two, `{"b":1}`)
	fresh.ID = "m-1"
	r := refused(t, e, fresh, patch(one, `{"a":2}`), guarded(patch(one, `{"a":3}`), roxy.GuardVersion, 1))
	if r.Index != 2 {
		t.Errorf("refused at %d, want 2", r.Index)
	}
	wantEntity(t, e, one, 1, `{"a":1}`)
	wantEntity(t, e, two, 0, "")
	if head := bounds(t, e, "bar").Head; head != 1 {
		t.Errorf("head %d: something of a refused call was appended", head)
	}
	// The others of a refused call are undecided: their ids are free.
	mutate(t, e, fresh, patch(one, `{"a":2}`), guarded(patch(one, `{"a":3}`), roxy.GuardVersion, 2))
	wantEntity(t, e, one, 3, `{"a":3}`)
	wantEntity(t, e, two, 1, `{"b":1}`)
}

func hiddenParts(t *testing.T, e Stateful) {
	path := func(s string) roxy.FieldPath {
		p, err := roxy.ParseFieldPath(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	topic := mustTopic(t, "orders/1")
	phone, cost := path("customer.phone"), path("cost")
	author := func(m engine.Mutation, hidden ...roxy.FieldPath) engine.Mutation {
		m.Author, m.Parts = document.NewHidden(hidden...), document.NewParts(phone, cost)
		return m
	}
	mutate(t, e, author(put(topic, `{"cost":3,"customer":{"name":"Ann","phone":"1"},"note":"x"}`)))
	// A put by who sees less keeps what is hidden.
	mutate(t, e, author(put(topic, `{"customer":{"name":"Bob"}}`), phone, cost))
	wantEntity(t, e, topic, 2, `{"cost":3,"customer":{"name":"Bob","phone":"1"}}`)
	mutate(t, e, author(patch(topic, `{"customer":null}`), phone, cost))
	wantEntity(t, e, topic, 3, `{"cost":3,"customer":{"phone":"1"}}`)
	mutate(t, e, author(patch(topic, `{"customer":{"name":"Cid"}}`), phone, cost)) // 4
	// A change of the phone alone is none of the customer's for who does not see it, and one for who does.
	mutate(t, e, author(patch(topic, `{"customer":{"phone":"2"}}`))) // 5
	mutate(t, e, author(guarded(patch(topic, `{"customer":{"name":"Dan"}}`), roxy.GuardFields, 4), phone))
	wantRefused(t, e, roxy.VersionConflict, author(guarded(patch(topic, `{"customer":{"name":"Eve","phone":"3"}}`), roxy.GuardFields, 4)))
	wantEntity(t, e, topic, 6, `{"cost":3,"customer":{"name":"Dan","phone":"2"}}`)
}

func concurrentAuthors(t *testing.T, e Stateful) {
	topic := mustTopic(t, "counters/1")
	mutate(t, e, put(topic, `{"n":0}`))
	const authors, rounds = 8, 25
	var wg sync.WaitGroup
	for range authors {
		wg.Go(func() {
			for done := 0; done < rounds; {
				now, err := e.Entity(context.WithoutCancel(t.Context()), "bar", topic)
				if err != nil {
					t.Error(err)
					return
				}
				var n int
				if _, err := fmt.Sscanf(string(now.Data), `{"n":%d}`, &n); err != nil {
					t.Error(err)
					return
				}
				_, err = e.Mutate(context.WithoutCancel(t.Context()), "bar", []engine.Mutation{guarded(patch(topic, fmt.Sprintf(`{"n":%d}`, n+1)), roxy.GuardVersion, now.Version)})
				if err == nil {
					done++
				} else if !errors.Is(err, roxy.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantEntity(t, e, topic, 1+authors*rounds, fmt.Sprintf(`{"n":%d}`, authors*rounds))
}

func outliveTrims(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	mutate(t, e, put(topic, `{"a":1}`))
	commit(t, e, "bar", newEvents(t, "orders/1", 5)...)
	if err := e.Trim(t.Context(), "bar", 6); err != nil {
		t.Fatal(err)
	}
	wantEntity(t, e, topic, 1, `{"a":1}`)
	mutate(t, e, guarded(patch(topic, `{"a":2}`), roxy.GuardVersion, 1))
	wantEntity(t, e, topic, 2, `{"a":2}`)
}

func bugStaysAlone(t *testing.T, e Stateful) {
	topic := mustTopic(t, "orders/1")
	mutate(t, e, put(topic, `{"a":1}`))
	poison := patch(topic, `{"a":2}`)
	poison.ID = "poison"
	poison.Check = func([]byte) *roxy.Problem { panic("a bug") }
	for range 2 {
		_, err := e.Mutate(t.Context(), "bar", []engine.Mutation{put(mustTopic(t, "orders/2"), `{}`), poison})
		if _, refused := errors.AsType[*engine.Refusal](err); err == nil || refused {
			t.Fatalf("a mutation that finds a bug: %v", err)
		}
	}
	wantEntity(t, e, topic, 1, `{"a":1}`)
	wantEntity(t, e, mustTopic(t, "orders/2"), 0, "")
	mutate(t, e, patch(topic, `{"a":3}`))
	wantEntity(t, e, topic, 2, `{"a":3}`)
}
