package disk

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

func commitN(t testing.TB, e *Engine, tenant string, n int) {
	t.Helper()
	for n > 0 {
		events := make([]roxy.Event, min(n, 1000))
		for i := range events {
			events[i] = event(t, fmt.Sprintf("orders/%d", i), "")
		}
		if _, err := e.Commit(t.Context(), tenant, events); err != nil {
			t.Fatal(err)
		}
		n -= len(events)
	}
}

func wantBounds(t *testing.T, e *Engine, tenant string, first, head uint64) {
	t.Helper()
	b, err := e.Bounds(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	if b.First != first || b.Head != head {
		t.Errorf("%s holds %d to %d, want %d to %d", tenant, b.First, b.Head, first, head)
	}
}

func TestRetentionByCountKeepsTheNewest(t *testing.T) {
	e := open(t, Options{Retention: Retention{Events: 1000}})
	commitN(t, e, "bar", 1000)
	commitN(t, e, "$hub", 2000)
	e.tidyAll()
	wantBounds(t, e, "bar", 1, 1000)
	commitN(t, e, "bar", 50)
	e.tidyAll()
	wantBounds(t, e, "bar", 51, 1050)
	wantBounds(t, e, "$hub", 1, 2000)
	// A tenth too many is not waited for.
	commitN(t, e, "bar", 101)
	eventually(t, "the janitor comes at once", func() bool {
		b, err := e.Bounds(t.Context(), "bar")
		return err == nil && b.First == 152
	})
}

func TestRetentionByAgeKeepsTheYoungest(t *testing.T) {
	c := newClock()
	e := open(t, Options{Retention: Retention{Age: time.Hour}, now: c.now})
	for range 10 {
		commitN(t, e, "bar", 10)
		c.advance(10 * time.Minute)
	}
	e.tidyAll()                      // 100 minutes later: those of the first 40 minutes are too old
	wantBounds(t, e, "bar", 41, 100) // the fifth ten are exactly an hour old
	c.advance(time.Nanosecond)
	e.tidyAll()
	wantBounds(t, e, "bar", 51, 100)
	c.advance(2 * time.Hour)
	e.tidyAll()
	wantBounds(t, e, "bar", 101, 100)
	commitN(t, e, "bar", 1)
	wantBounds(t, e, "bar", 101, 101)
}

func TestRetentionByBytesKeepsWhatFits(t *testing.T) {
	const keep = 20_000
	e := open(t, Options{Retention: Retention{Bytes: keep}})
	var sizes []int
	for i := range 500 {
		ev := event(t, "orders/1", "")
		ev.Data = fmt.Appendf(nil, "%0*d", 1+i%97, 1)
		if _, err := e.Commit(t.Context(), "bar", []roxy.Event{ev}); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(engine.AppendRecord(nil, &ev)))
	}
	first, sum := len(sizes), 0
	for first > 0 && sum+sizes[first-1] <= keep {
		first--
		sum += sizes[first]
	}
	e.tidyAll()
	wantBounds(t, e, "bar", uint64(first)+1, 500)
	e.tidyAll()
	wantBounds(t, e, "bar", uint64(first)+1, 500)
}

func TestRetentionFindsTenantsThatNobodyHasMetSinceTheStart(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	opts := Options{Retention: Retention{Age: time.Hour}, now: c.now}
	e, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	commitN(t, e, "bar", 10)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	c.advance(2 * time.Hour)
	e = openAt(t, dir, opts)
	e.tidyAll()
	if n := count(t, e, keyLog); n != 0 {
		t.Errorf("%d records are still there", n)
	}
	wantBounds(t, e, "bar", 11, 10)
}

// count returns how many keys of a kind the store holds.
func count(t *testing.T, e *Engine, kind byte) (n int) {
	t.Helper()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

// Three segments of the index: reading a topic crosses them and a trim takes whole ones, at no cost for each event.
func TestTheTopicIndexIsTrimmedByWholeSegments(t *testing.T) {
	e := open(t, Options{})
	const n = 150_000
	commitN(t, e, "bar", n)
	commitN(t, e, "pub", 1000)
	topics := []roxy.Topic{event(t, "orders/999", "").Topic, event(t, "orders/0", "").Topic}
	check := func(after uint64) {
		t.Helper()
		var got, want []uint64
		for ev, err := range e.Read(t.Context(), "bar", engine.Query{After: after, Topics: topics}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.Offset)
		}
		for o := after + 1; o <= n; o++ {
			if o%1000 <= 1 {
				want = append(want, o)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	check(0)
	check(65_535)
	check(149_999)

	before := e.db.Metrics().WAL.BytesIn
	const cut = 140_000
	if err := e.Trim(t.Context(), "bar", cut); err != nil {
		t.Fatal(err)
	}
	if cost := e.db.Metrics().WAL.BytesIn - before; cost > 1000 {
		t.Errorf("trimming %d events wrote %d bytes", cut, cost)
	}
	check(cut)
	if got, want := count(t, e, keyLog), n-cut+1000; got != want {
		t.Errorf("%d records, want %d", got, want)
	}
	const segment = 1 << segmentBits
	if got, want := count(t, e, keyTopic), n-cut/segment*segment+1+1000; got != want {
		t.Errorf("%d index keys, want %d", got, want)
	}
	if s := e.Stats(); s.Trims != 1 || s.Trimmed != cut {
		t.Errorf("stats count %d trims of %d events", s.Trims, s.Trimmed)
	}
}

func TestAnIdempotencyKeyIsKnownForItsTimeAndThenForgotten(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	e, err := Open(dir, Options{now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	entry := func() engine.Entry {
		t.Helper()
		r, err := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "orders/1", "key")})
		if err != nil {
			t.Fatal(err)
		}
		return r.Entries[0]
	}
	if got := entry(); got != (engine.Entry{Offset: 1}) {
		t.Fatalf("first %+v", got)
	}
	for range 3 { // whatever the day, and across a restart
		c.advance(24*time.Hour/3 - time.Second)
		if got := entry(); got != (engine.Entry{Offset: 1, Duplicate: true}) {
			t.Errorf("at %v: %+v", c.now(), got)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openAt(t, dir, Options{now: c.now})
		e.tidyAll()
	}
	c.advance(3 * time.Second)
	if got := entry(); got != (engine.Entry{Offset: 2}) {
		t.Errorf("a day later: %+v", got)
	}
	if got := entry(); got != (engine.Entry{Offset: 2, Duplicate: true}) {
		t.Errorf("and once more: %+v", got)
	}
	c.advance(72 * time.Hour)
	e.tidyAll()
	if n := count(t, e, keyReceipt); n != 0 {
		t.Errorf("%d keys are kept three days later", n)
	}
}

func TestTimeDoesNotDecreaseWhenTheClockIsSetBack(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	var last time.Time
	for range 3 {
		e, err := Open(dir, Options{now: c.now})
		if err != nil {
			t.Fatal(err)
		}
		commitN(t, e, "bar", 2)
		c.advance(-time.Hour)
		commitN(t, e, "bar", 2)
		for ev, err := range e.Read(context.Background(), "bar", engine.Query{}) {
			if err != nil || ev.Time.Before(last) && ev.Offset > 1 {
				t.Fatalf("event %d of %v after %v: %v", ev.Offset, ev.Time, last, err)
			}
			last = ev.Time
		}
		last = time.Time{}
		if err := e.Close(); err != nil && !errors.Is(err, engine.ErrClosed) {
			t.Fatal(err)
		}
	}
}
