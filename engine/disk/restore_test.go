package disk

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// travelling returns a tenant of 400 events and 200 entities, as parts of up to 10.
func travelling(t *testing.T) (whole engine.Restoration, parts []engine.Restoration) {
	t.Helper()
	e := open(t, Options{})
	for i := range 200 {
		commitN(t, e, "bar", 1)
		topic := event(t, fmt.Sprintf("tables/%03d", i), "").Topic
		m := engine.Mutation{Mutation: roxy.Mutation{ID: fmt.Sprint("m-", i), Op: roxy.Put, Topic: topic, Data: []byte(`{"a":1}`), Guard: roxy.GuardNone, By: "waiter-7"}}
		if _, err := e.Mutate(t.Context(), "bar", []engine.Mutation{m}); err != nil {
			t.Fatal(err)
		}
	}
	whole = readBack(t, e)
	for i := 0; i < len(whole.Events); i += 10 {
		parts = append(parts, engine.Restoration{Of: whole.Of, Events: whole.Events[i : i+10]})
	}
	for i := 0; i < len(whole.States); i += 10 {
		parts = append(parts, engine.Restoration{Of: whole.Of, States: whole.States[i : i+10]})
	}
	return whole, append(parts, engine.Restoration{Of: whole.Of, End: true, Entities: whole.Entities})
}

// readBack returns the tenant "bar" as one part.
func readBack(t *testing.T, e *Engine) engine.Restoration {
	t.Helper()
	s, err := e.Snapshot(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	whole := engine.Restoration{Of: s.Bounds(), End: true}
	for ev, err := range e.Read(t.Context(), "bar", engine.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		whole.Events = append(whole.Events, ev)
	}
	for state, err := range s.States(t.Context(), roxy.Topic{}) {
		if err != nil {
			t.Fatal(err)
		}
		whole.States = append(whole.States, state)
	}
	whole.Entities = uint64(len(whole.States))
	return whole
}

// Each round goes on with what the crash before it left, from the first part on: what is there is passed over.
func TestAnImportGoesOnAfterEachCrash(t *testing.T) {
	whole, parts := travelling(t)
	rng := rand.New(rand.NewPCG(20261124, 1))
	fs := vfs.NewCrashableMem()
	acked, done, crashes := engine.Restored{}, false, 0
	for !done {
		e, err := Open("db", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		at, err := e.Restored(t.Context(), "bar")
		if err != nil {
			t.Fatal(err)
		}
		if at.Head < acked.Head || at.Entities < acked.Entities && at.Running {
			t.Fatalf("it stands at %+v, and was acknowledged at %+v", at, acked)
		}
		if at.Running && (at.Of != whole.Of || at.Head%10 != 0 || at.Entities%10 != 0 || at.Entities > 0 && at.Head != whole.Of.Head) {
			t.Fatalf("a part is there by half: %+v", at)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for _, part := range parts {
				if _, err := e.Restore(ctx, "bar", part); err != nil {
					return
				}
			}
		}()
		if crashes < 30 {
			select {
			case <-time.After(time.Duration(rng.IntN(300)) * time.Microsecond): // the moment of the crash
			case <-ended:
			}
		} else {
			<-ended
		}
		if acked, err = e.Restored(t.Context(), "bar"); err != nil {
			t.Fatal(err)
		}
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70}[rng.IntN(4)], RNG: rng})
		crashes++
		cancel()
		<-ended
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		fs = crashed
		done = !acked.Running && acked.Head == whole.Of.Head
	}
	e, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := readBack(t, e); !reflect.DeepEqual(got, whole) {
		t.Errorf("after %d crashes %d events and %d entities are there, of %d and %d", crashes, len(got.Events), len(got.States), len(whole.Events), len(whole.States))
	}
	if crashes < 5 {
		t.Errorf("only %d crashes", crashes)
	}
}

func TestAnImportIsStillClosedAfterARestartAndCanBeGivenUp(t *testing.T) {
	_, parts := travelling(t)
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parts[:50] {
		if _, err := e.Restore(t.Context(), "bar", part); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Bounds(t.Context(), "bar"); err == nil {
		t.Error("it is open")
	}
	if err := e.Abandon(t.Context(), "bar"); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, dir, Options{})
	commitN(t, e, "bar", 3)
	wantLog(t, e, 1, 3)
	if got := readBack(t, e); len(got.States) != 0 {
		t.Errorf("%d entities are left", len(got.States))
	}
}

// Retention is the receiving hub's own, and its bounds need the totals to be right.
func TestRetentionBoundsWhatWasImported(t *testing.T) {
	whole, parts := travelling(t)
	e := open(t, Options{Retention: Retention{Events: 50}})
	for _, part := range parts {
		if _, err := e.Restore(t.Context(), "bar", part); err != nil {
			t.Fatal(err)
		}
		e.tidy("bar")
	}
	b, err := e.Bounds(t.Context(), "bar")
	if err != nil || b.Head != whole.Of.Head || b.First != b.Head-49 {
		t.Errorf("bounds %+v: %v", b, err)
	}
	wantLog(t, e, b.First, b.Head)
}
