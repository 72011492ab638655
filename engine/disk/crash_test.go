package disk

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// promised is what the engine has told anybody: a crash may take back nothing of it.
type promised struct {
	mu      sync.Mutex
	offsets map[string]uint64 // by key, of acknowledged events
	tailed  map[string]uint64 // by key, of events that a tail yielded
	started map[string]int    // keys' arrays that were given to Commit, with their sizes
}

func (p *promised) copy() (offsets, tailed map[string]uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.offsets), maps.Clone(p.tailed)
}

// array returns the events of one call: the n-th of caller in round. Each says which array it belongs to.
func array(t testing.TB, round, caller, n int) []roxy.Event {
	t.Helper()
	name := fmt.Sprintf("%d-%d-%d", round, caller, n)
	events := make([]roxy.Event, 1+(caller+n)%4)
	for i := range events {
		events[i] = event(t, fmt.Sprintf("orders/%d", n%7), fmt.Sprintf("%s-%d", name, i))
		events[i].Correlation = name
	}
	return events
}

// publishUntil commits from many callers until ctx ends.
func publishUntil(ctx context.Context, t *testing.T, e *Engine, p *promised, round int) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	tail := e.Tail()
	wg.Go(func() {
		defer tail.Close()
		for {
			committed, err := tail.Next(ctx)
			if err != nil {
				return
			}
			p.mu.Lock()
			for _, c := range committed {
				for _, ev := range c.Events {
					p.tailed[ev.ID] = ev.Offset
				}
			}
			p.mu.Unlock()
		}
	})
	for caller := range 8 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				events := array(t, round, caller, n)
				p.mu.Lock()
				p.started[events[0].Correlation] = len(events)
				p.mu.Unlock()
				r, err := e.Commit(ctx, "bar", events)
				if err != nil {
					if ctx.Err() == nil {
						t.Errorf("commit: %v", err)
					}
					return
				}
				p.mu.Lock()
				for i, entry := range r.Entries {
					p.offsets[events[i].ID] = entry.Offset
				}
				p.mu.Unlock()
			}
		})
	}
	return wg.Wait
}

// checkPromises reads all of the log and holds it against what was promised.
func checkPromises(t *testing.T, e *Engine, offsets, tailed map[string]uint64, started map[string]int) {
	t.Helper()
	at := map[string]uint64{}
	inArray := map[string]int{}
	next := uint64(1)
	for ev, err := range e.Read(t.Context(), "bar", engine.Query{}) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if ev.Offset != next {
			t.Fatalf("event %d in the place of %d", ev.Offset, next)
		}
		next++
		if first, twice := at[ev.ID]; twice {
			t.Fatalf("%s stands at %d and at %d", ev.ID, first, ev.Offset)
		}
		at[ev.ID] = ev.Offset
		inArray[ev.Correlation]++
	}
	if b, err := e.Bounds(t.Context(), "bar"); err != nil || b.Head != next-1 {
		t.Fatalf("bounds %+v of a log that ends at %d: %v", b, next-1, err)
	}
	wantRows(t, e, next-1)
	for key, offset := range offsets {
		if at[key] != offset {
			t.Fatalf("%s was acknowledged at %d and stands at %d", key, offset, at[key])
		}
	}
	for key, offset := range tailed {
		if at[key] != offset {
			t.Fatalf("a tail yielded %s at %d, it stands at %d", key, offset, at[key])
		}
	}
	for name, n := range inArray {
		if n != started[name] {
			t.Fatalf("%d events of array %s, which has %d", n, name, started[name])
		}
	}
}

// wantRows reads all of the trail, which has to be whole and to have one row for each event, in order.
func wantRows(t *testing.T, e *Engine, head uint64) {
	t.Helper()
	wantTrail(t, e, "bar", int(head))
	offset := uint64(0)
	for entry, err := range e.Audited(t.Context(), "bar", engine.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		row, err := entry.Row()
		if err != nil {
			t.Fatal(err)
		}
		if offset++; !strings.HasSuffix(row.Event, fmt.Sprint(".", offset)) {
			t.Fatalf("row %d is about %s, want event %d", row.Seq, row.Event, offset)
		}
	}
}

// Each round crashes the one before it at a random moment under load: what had not been synced is lost, or some of it
// is, and the next round begins with what is left.
func TestACrashTakesNothingBackThatWasPromised(t *testing.T) {
	const rounds = 40
	rng := rand.New(rand.NewPCG(20261123, 1))
	fs := vfs.NewCrashableMem()
	p := &promised{offsets: map[string]uint64{}, tailed: map[string]uint64{}, started: map[string]int{}}
	var offsets, tailed map[string]uint64
	for round := range rounds {
		e, err := Open("db", Options{FS: fs, Audit: Audit{Publishes: true}})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkPromises(t, e, offsets, tailed, p.started)
		// Whoever got no answer asks again with the same keys: still each event once.
		if round > 0 {
			for caller := range 8 {
				for n := range 3 {
					events := array(t, round-1, caller, n)
					p.started[events[0].Correlation] = len(events)
					r, err := e.Commit(t.Context(), "bar", events)
					if err != nil {
						t.Fatal(err)
					}
					for i, entry := range r.Entries {
						p.offsets[events[i].ID] = entry.Offset
					}
				}
			}
			offsets, tailed = p.copy()
			checkPromises(t, e, offsets, tailed, p.started)
		}
		ctx, cancel := context.WithCancel(t.Context())
		wait := publishUntil(ctx, t, e, p, round)
		<-time.After(time.Duration(rng.IntN(15_000)) * time.Microsecond) // the moment of the crash
		offsets, tailed = p.copy()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70}[rng.IntN(4)], RNG: rng})
		cancel()
		wait()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		// What was promised after the crash was promised by a machine that is no more.
		p.offsets, p.tailed = offsets, tailed
		fs = crashed
	}
	if len(p.offsets) < rounds {
		t.Errorf("only %d events were acknowledged in %d rounds", len(p.offsets), rounds)
	}
}
