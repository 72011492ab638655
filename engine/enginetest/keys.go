package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func repeatedKey(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvents(t, "orders/1", 3)...)
	first := commit(t, log, "bar", newEvent(t, "orders/1", "key"))
	commit(t, log, "bar", newEvents(t, "orders/1", 3)...)
	again := newEvent(t, "orders/1", "key")
	again.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" // a repetition has a trace of its own
	r := commit(t, log, "bar", again)
	if want := (engine.Entry{Offset: 4, Duplicate: true}); r.Entries[0] != want || first.Entries[0].Duplicate {
		t.Errorf("first %+v, then %+v; want %+v", first.Entries[0], r.Entries[0], want)
	}
	mixed := commit(t, log, "bar", newEvent(t, "orders/1", "new-1"), again, newEvent(t, "orders/1", "new-2"))
	if want := []engine.Entry{{Offset: 8}, {Offset: 4, Duplicate: true}, {Offset: 9}}; !reflect.DeepEqual(mixed.Entries, want) {
		t.Errorf("entries %+v, want %+v", mixed.Entries, want)
	}
	wantOffsets(t, readAll(t, log, "bar", engine.Query{}), numbers(1, 9))
}

func repeatedKeyInArray(t *testing.T, log engine.Log) {
	a, b := newEvent(t, "orders/1", "a"), newEvent(t, "orders/1", "b")
	r := commit(t, log, "bar", a, b, a, a, b)
	want := []engine.Entry{{Offset: 1}, {Offset: 2}, {Offset: 1, Duplicate: true}, {Offset: 1, Duplicate: true}, {Offset: 2, Duplicate: true}}
	if !reflect.DeepEqual(r.Entries, want) {
		t.Errorf("entries %+v, want %+v", r.Entries, want)
	}
	wantOffsets(t, readAll(t, log, "bar", engine.Query{}), numbers(1, 2))
}

func keyScope(t *testing.T, log engine.Log) {
	mine := newEvent(t, "orders/1", "key")
	commit(t, log, "bar", mine)
	theirs := newEvent(t, "orders/2", "key") // another event under the same key
	theirs.By = "waiter-8"
	if r := commit(t, log, "bar", theirs); r.Entries[0] != (engine.Entry{Offset: 2}) {
		t.Errorf("another publisher's event stands at %+v", r.Entries[0])
	}
	theirs.By = mine.By
	if r := commit(t, log, "pub", theirs); r.Entries[0] != (engine.Entry{Offset: 1}) {
		t.Errorf("another tenant's event stands at %+v", r.Entries[0])
	}
	// Names that run together must not be taken for each other.
	split := newEvent(t, "orders/3", "bc")
	split.By = "a"
	commit(t, log, "bar", split)
	split.By, split.ID = "ab", "c"
	if r := commit(t, log, "bar", split); r.Entries[0].Duplicate {
		t.Error("key c of ab is taken for key bc of a")
	}
}

func reusedKey(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvent(t, "orders/1", "key"))
	other := newEvent(t, "orders/2", "key")
	for name, tt := range map[string]struct {
		events []roxy.Event
		member string
	}{
		"alone":                  {[]roxy.Event{other}, "id"},
		"in an array":            {[]roxy.Event{newEvent(t, "orders/3", "x"), newEvent(t, "orders/3", ""), other}, "[2].id"},
		"twice within one array": {[]roxy.Event{newEvent(t, "orders/3", "y"), newEvent(t, "orders/4", "y")}, "[1].id"},
	} {
		_, err := log.Commit(t.Context(), "bar", tt.events)
		var problem *roxy.Problem
		if !errors.As(err, &problem) || !errors.Is(err, roxy.ErrKeyReused) || problem.Member != tt.member {
			t.Errorf("%s: %v, want key-reused at %s", name, err, tt.member)
		}
	}
	if head := bounds(t, log, "bar").Head; head != 1 {
		t.Errorf("head %d, want 1: nothing of a refused array is appended", head)
	}
	// The keys of a refused array are free.
	r := commit(t, log, "bar", newEvent(t, "orders/9", "x"), newEvent(t, "orders/9", "y"))
	if want := []engine.Entry{{Offset: 2}, {Offset: 3}}; !reflect.DeepEqual(r.Entries, want) {
		t.Errorf("entries %+v, want %+v", r.Entries, want)
	}
}

func reusedKeyHarmsNobody(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvent(t, "orders/1", "key"))
	const callers, rounds = 16, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				ev := newEvent(t, "orders/2", fmt.Sprintf("own-%d-%d", c, i))
				if c%2 == 1 {
					ev.ID = "key"
				}
				_, err := log.Commit(t.Context(), "bar", []roxy.Event{ev})
				if refused := errors.Is(err, roxy.ErrKeyReused); refused != (c%2 == 1) || !refused && err != nil {
					t.Errorf("caller %d: %v", c, err)
				}
			}
		})
	}
	wg.Wait()
	wantOffsets(t, readAll(t, log, "bar", engine.Query{}), numbers(1, 1+callers/2*rounds))
}

func concurrentKey(t *testing.T, log engine.Log) {
	const callers, keys = 16, 10
	for k := range keys {
		ev := newEvent(t, "orders/1", fmt.Sprint("key-", k))
		entries := make([]engine.Entry, callers)
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				r, err := log.Commit(t.Context(), "bar", []roxy.Event{ev})
				if err != nil {
					t.Error(err)
					return
				}
				entries[c] = r.Entries[0]
			})
		}
		wg.Wait()
		firsts := 0
		for _, entry := range entries {
			if entry.Offset != uint64(k)+1 {
				t.Fatalf("key %d stands at %+v", k, entry)
			}
			if !entry.Duplicate {
				firsts++
			}
		}
		if firsts != 1 {
			t.Fatalf("%d callers were told that theirs is the first", firsts)
		}
	}
	wantOffsets(t, readAll(t, log, "bar", engine.Query{}), numbers(1, keys))
}
