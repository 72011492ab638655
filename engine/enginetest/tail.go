package enginetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// patience bounds what should take no time at all; nothing waits for it unless a law is broken.
const patience = 30 * time.Second

// next reads n events of one tenant from the tail.
func next(t testing.TB, tail engine.Tail, n int) []roxy.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var events []roxy.Event
	for len(events) < n {
		committed, err := tail.Next(ctx)
		if err != nil {
			t.Fatalf("next, after %d events of %d: %v", len(events), n, err)
		}
		for _, c := range committed {
			events = append(events, c.Events...)
		}
	}
	if len(events) != n {
		t.Fatalf("%d events from the tail, want %d", len(events), n)
	}
	return events
}

func tailBeginsNow(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvents(t, "a", 5)...)
	tail := log.Tail()
	defer tail.Close()
	commit(t, log, "bar", newEvents(t, "a", 2)...)
	wantOffsets(t, next(t, tail, 2), numbers(6, 7))
}

func tailEqualsLog(t *testing.T, log engine.Log) {
	const callers, rounds, tenants = 16, 20, 3
	total := 0
	for i := range callers * rounds {
		total += 1 + i%3
	}
	tail := log.Tail()
	defer tail.Close()
	seen := map[string][]roxy.Event{}
	var reader sync.WaitGroup
	reader.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for count := 0; count < total; {
			committed, err := tail.Next(ctx)
			if err != nil {
				t.Errorf("next, after %d events of %d: %v", count, total, err)
				return
			}
			for _, c := range committed {
				seen[c.Tenant] = append(seen[c.Tenant], c.Events...)
				count += len(c.Events)
			}
		}
	})
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range rounds {
				n := c*rounds + i
				events := newEvents(t, fmt.Sprintf("orders/%d", n%5), 1+n%3)
				for j := range events {
					events[j].ID = fmt.Sprintf("%d-%d", n, j)
				}
				tenant := fmt.Sprint("bar-", n%tenants)
				for range 2 { // the second time all are duplicates, which no tail sees
					if _, err := log.Commit(t.Context(), tenant, events); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	reader.Wait()
	for i := range tenants {
		tenant := fmt.Sprint("bar-", i)
		if events := readAll(t, log, tenant, engine.Query{}); !reflect.DeepEqual(events, seen[tenant]) {
			t.Errorf("%s: the tail gave %v, the log holds %v", tenant, offsetsOf(seen[tenant]), offsetsOf(events))
		}
	}
}

func tailsShare(t *testing.T, log engine.Log) {
	early := log.Tail()
	defer early.Close()
	commit(t, log, "bar", newEvents(t, "a", 3)...)
	late := log.Tail()
	defer late.Close()
	commit(t, log, "bar", newEvents(t, "b", 4)...)
	a, b := next(t, early, 7), next(t, late, 4)
	if !reflect.DeepEqual(a[3:], b) {
		t.Errorf("two tails gave %+v and %+v", a[3:], b)
	}
	if &a[3].Data[0] != &b[0].Data[0] {
		t.Error("the tails hold copies of their own")
	}
}

func closedTail(t *testing.T, log engine.Log) {
	tail := log.Tail()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := tail.Next(t.Context()); !errors.Is(err, engine.ErrClosed) {
			t.Errorf("a blocked Next returned %v", err)
		}
	})
	tail.Close()
	wg.Wait()
	tail.Close()
	commit(t, log, "bar", newEvent(t, "a", ""))
	if _, err := tail.Next(t.Context()); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("Next after Close returned %v", err)
	}
}

func tailHoldsBack(t *testing.T, log engine.Log) {
	tail := log.Tail()
	big := newEvents(t, "a", 16)
	for i := range big {
		big[i].Data = []byte(`"` + strings.Repeat("x", 60_000) + `"`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	const calls = 1000 // a gigabyte, more than any engine may keep for a tail
	var err error
	count := 0
	for ; err == nil && count < calls; count++ {
		if err = ctx.Err(); err == nil {
			callCtx, done := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err = log.Commit(callCtx, "bar", big)
			done()
		}
		ctx = t.Context()
	}
	if !errors.Is(err, roxy.ErrOverloaded) {
		t.Fatalf("%d calls of a megabyte ended with %v, want overloaded", count, err)
	}
	tail.Close()
	commit(t, log, "bar", newEvent(t, "a", "")) // whoever closes it lets commits go on
}

// topicsEqualFilter compares the index with the plain truth on logs, topics and ranges of every kind.
func topicsEqualFilter(t *testing.T, log engine.Log) {
	names := []string{"a", "a/b", "a/b/c", "ab", "b", "b/a", "z"}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		tenant := fmt.Sprint("bar-", run)
		var all []roxy.Event
		for range rapid.IntRange(0, 5).Draw(rt, "commits") {
			events := make([]roxy.Event, rapid.IntRange(1, 40).Draw(rt, "events"))
			for i := range events {
				events[i] = newEvent(t, rapid.SampledFrom(names[:6]).Draw(rt, "topic"), "")
			}
			commit(t, log, tenant, events...)
		}
		all = readAll(t, log, tenant, engine.Query{})
		query := engine.Query{
			After: rapid.Uint64Range(0, uint64(len(all))+1).Draw(rt, "after"),
			Until: rapid.Uint64Range(0, uint64(len(all))+1).Draw(rt, "until"),
		}
		wanted := map[roxy.Topic]bool{}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 5).Draw(rt, "topics") {
			query.Topics = append(query.Topics, mustTopic(t, name)) // with repeats
			wanted[mustTopic(t, name)] = true
		}
		var want []roxy.Event
		for _, ev := range all {
			if ev.Offset > query.After && (query.Until == 0 || ev.Offset <= query.Until) && wanted[ev.Topic] {
				want = append(want, ev)
			}
		}
		if got := readAll(t, log, tenant, query); !reflect.DeepEqual(got, want) {
			rt.Fatalf("%+v gives %v, want %v", query, offsetsOf(got), offsetsOf(want))
		}
	})
}
