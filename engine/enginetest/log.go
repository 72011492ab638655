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

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func logLaws() []law[engine.Log] {
	return []law[engine.Log]{
		{"offsets begin at 1 and have no holes", offsetsHaveNoHoles},
		{"an event comes back as it was given", eventsComeBack},
		{"time never decreases along the log", timeNeverDecreases},
		{"an array stands in one piece in its order", arraysAreOnePiece},
		{"the largest array of the protocol is committed", largestArray},
		{"an empty commit appends nothing", emptyCommit},
		{"the caller's events stay the caller's", callersEventsStay},
		{"a repeated key gets the first receipt", repeatedKey},
		{"a key repeated within one array is one event", repeatedKeyInArray},
		{"a key is its publisher's and its tenant's own", keyScope},
		{"a reused key refuses the whole array and names the event", reusedKey},
		{"a reused key harms no other call", reusedKeyHarmsNobody},
		{"concurrent commits of one key append one event", concurrentKey},
		{"concurrent commits are totally ordered", concurrentCommits},
		{"tenants do not see each other", tenantsAreIsolated},
		{"a tenant has one epoch", oneEpoch},
		{"bounds follow the log", boundsFollow},
		{"read obeys after and until", readObeysBounds},
		{"read ends at the head of its call", readEndsAtHead},
		{"read of a tenant never heard of yields nothing", readOfUnknownTenant},
		{"a read stopped early costs nothing more", readStops},
		{"reading topics equals filtering the log", topicsEqualFilter},
		{"a canceled context ends commit, read, bounds and next", canceledContext},
		{"a tail yields what is committed from now on", tailBeginsNow},
		{"a tail equals the log and never repeats", tailEqualsLog},
		{"tails share what they yield", tailsShare},
		{"a closed tail says so", closedTail},
		{"a tail that is not read holds commits back", tailHoldsBack},
	}
}

func offsetsHaveNoHoles(t *testing.T, log engine.Log) {
	for i := range 20 {
		r := commit(t, log, "bar", newEvent(t, "orders/1", ""))
		if got := r.Entries[0]; got.Offset != uint64(i)+1 || got.Duplicate {
			t.Fatalf("commit %d stands at %+v", i+1, got)
		}
	}
	wantOffsets(t, readAll(t, log, "bar", engine.Query{}), numbers(1, 20))
}

func eventsComeBack(t *testing.T, log engine.Log) {
	audience, err := roxy.NewAudience([]string{"kitchen", "waiter"}, []string{"u7"})
	if err != nil {
		t.Fatal(err)
	}
	full := roxy.Event{
		Topic: mustTopic(t, "orders/42"), Type: "order:new", Data: []byte(`{"no":"Bier"}`), To: audience, ID: "key-1",
		TTL: 90 * time.Second, Correlation: "c1", Except: "tablet-3", TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Urgent: true, By: "u9",
	}
	bare := roxy.Event{Topic: mustTopic(t, "a"), Type: roxy.DefaultType}
	big := roxy.Event{Topic: mustTopic(t, "b"), Type: "big", Data: []byte(`"` + strings.Repeat("0123456789", 6000) + `"`)}
	given := []roxy.Event{full, bare, big}
	tail := log.Tail()
	defer tail.Close()
	before := time.Now().Add(-time.Minute)
	commit(t, log, "bar", given...)
	for source, events := range map[string][]roxy.Event{
		"read":           readAll(t, log, "bar", engine.Query{}),
		"read of topics": readAll(t, log, "bar", engine.Query{Topics: []roxy.Topic{full.Topic, bare.Topic, big.Topic}}),
		"tail":           next(t, tail, len(given)),
	} {
		if len(events) != len(given) {
			t.Fatalf("%s: %d events of %d", source, len(events), len(given))
		}
		for i, got := range events {
			if got.Time.Before(before) || got.Time.Location() != time.UTC {
				t.Errorf("%s: event %d has the time %v", source, i, got.Time)
			}
			want := given[i]
			want.Offset, want.Time = uint64(i)+1, got.Time
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: event %d is\n%+v, want\n%+v", source, i, got, want)
			}
		}
	}
}

func timeNeverDecreases(t *testing.T, log engine.Log) {
	for range 30 {
		commit(t, log, "bar", newEvents(t, "orders/1", 3)...)
	}
	var last time.Time
	for _, ev := range readAll(t, log, "bar", engine.Query{}) {
		if ev.Time.Before(last) {
			t.Fatalf("event %d has %v after %v", ev.Offset, ev.Time, last)
		}
		last = ev.Time
	}
}

func arraysAreOnePiece(t *testing.T, log engine.Log) {
	const callers, size = 16, 25
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			events := newEvents(t, fmt.Sprintf("from/%d", c), size)
			if _, err := log.Commit(t.Context(), "bar", events); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	events := readAll(t, log, "bar", engine.Query{})
	wantOffsets(t, events, numbers(1, callers*size))
	for i, ev := range events {
		if first := events[i/size*size]; ev.Topic != first.Topic || string(ev.Data) != fmt.Sprint(i%size) {
			t.Fatalf("event %d is %s of %s inside the array of %s", ev.Offset, ev.Data, ev.Topic, first.Topic)
		}
	}
}

func largestArray(t *testing.T, log engine.Log) {
	const n, size = 1000, 64 << 10 // docs/protocol.md §3
	tail := log.Tail()
	defer tail.Close()
	events := newEvents(t, "a", n)
	data := []byte(`"` + strings.Repeat("x", size-2) + `"`)
	for i := range events {
		events[i].Data = data
	}
	commit(t, log, "bar", events...)
	for source, got := range map[string][]roxy.Event{"read": readAll(t, log, "bar", engine.Query{}), "tail": next(t, tail, n)} {
		wantOffsets(t, got, numbers(1, n))
		for _, ev := range got {
			if string(ev.Data) != string(data) {
				t.Fatalf("%s: event %d came back as %d bytes", source, ev.Offset, len(ev.Data))
			}
		}
	}
	commit(t, log, "bar", newEvent(t, "a", ""))
}

func emptyCommit(t *testing.T, log engine.Log) {
	r := commit(t, log, "bar")
	b := bounds(t, log, "bar")
	if b != (engine.Bounds{Epoch: r.Epoch, First: 1, Head: 0}) {
		t.Errorf("bounds %+v after a receipt with epoch %q", b, r.Epoch)
	}
}

func callersEventsStay(t *testing.T, log engine.Log) {
	tail := log.Tail()
	defer tail.Close()
	ev := newEvent(t, "orders/1", "key")
	ev.To = roxy.Audience{Roles: []string{"kitchen"}, Users: []string{"u1"}}
	events := []roxy.Event{ev}
	commit(t, log, "bar", events...)
	if events[0].Offset != 0 || !events[0].Time.IsZero() {
		t.Errorf("commit stamped the caller's event: %+v", events[0])
	}
	// The caller may use its memory again.
	clear(ev.Data)
	ev.To.Roles[0], ev.To.Users[0] = "spoilt", "spoilt"
	for source, got := range map[string][]roxy.Event{"read": readAll(t, log, "bar", engine.Query{}), "tail": next(t, tail, 1)} {
		if string(got[0].Data) != `{"id":"key"}` || got[0].To.Roles[0] != "kitchen" || got[0].To.Users[0] != "u1" {
			t.Errorf("%s: %+v with data %q", source, got[0], got[0].Data)
		}
	}
}

func concurrentCommits(t *testing.T, log engine.Log) {
	const callers, rounds = 32, 20
	var mu sync.Mutex
	at := map[uint64]string{}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			var last uint64
			for i := range rounds {
				id := fmt.Sprintf("%d-%d", c, i)
				r, err := log.Commit(t.Context(), "bar", []roxy.Event{newEvent(t, "orders/1", id)})
				if err != nil {
					t.Error(err)
					return
				}
				offset := r.Entries[0].Offset
				if offset <= last {
					t.Errorf("caller %d: %d after %d", c, offset, last)
				}
				last = offset
				mu.Lock()
				if other, taken := at[offset]; taken {
					t.Errorf("offset %d is both %s and %s", offset, other, id)
				}
				at[offset] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	events := readAll(t, log, "bar", engine.Query{})
	wantOffsets(t, events, numbers(1, callers*rounds))
	for _, ev := range events {
		if at[ev.Offset] != ev.ID {
			t.Errorf("event %d is %s, its caller was told %s", ev.Offset, ev.ID, at[ev.Offset])
		}
	}
}

func tenantsAreIsolated(t *testing.T, log engine.Log) {
	names := []string{"bar", "ba", "bar2", "Bar", "b", "bar:1", "$hub"}
	for i, name := range names {
		for n := range i + 1 {
			ev := newEvent(t, "shared/topic", fmt.Sprint(n))
			ev.Correlation = name
			if r := commit(t, log, name, ev); r.Entries[0] != (engine.Entry{Offset: uint64(n) + 1}) {
				t.Errorf("%s: event %d stands at %+v", name, n, r.Entries[0])
			}
		}
	}
	for i, name := range names {
		for _, topics := range [][]roxy.Topic{nil, {mustTopic(t, "shared/topic")}} {
			events := readAll(t, log, name, engine.Query{Topics: topics})
			wantOffsets(t, events, numbers(1, uint64(i)+1))
			for _, ev := range events {
				if ev.Correlation != name {
					t.Errorf("%s was given an event of %s", name, ev.Correlation)
				}
			}
		}
	}
}

func oneEpoch(t *testing.T, log engine.Log) {
	b := bounds(t, log, "bar")
	if _, err := roxy.ParseCursor(roxy.Cursor{Epoch: b.Epoch}.String()); err != nil {
		t.Errorf("epoch %q makes no cursor: %v", b.Epoch, err)
	}
	if r := commit(t, log, "bar", newEvent(t, "a", "")); r.Epoch != b.Epoch || bounds(t, log, "bar").Epoch != b.Epoch {
		t.Errorf("epoch %q, then %q of the receipt", b.Epoch, r.Epoch)
	}
	if other := bounds(t, log, "pub").Epoch; other == b.Epoch {
		t.Errorf("two tenants share the epoch %q", other)
	}
}

func boundsFollow(t *testing.T, log engine.Log) {
	epoch := bounds(t, log, "bar").Epoch
	for n := range uint64(4) {
		if got, want := bounds(t, log, "bar"), (engine.Bounds{Epoch: epoch, First: 1, Head: n}); got != want {
			t.Errorf("bounds %+v, want %+v", got, want)
		}
		commit(t, log, "bar", newEvent(t, "a", ""))
	}
}

func readObeysBounds(t *testing.T, log engine.Log) {
	const n = 1300 // more than any engine reads at once, one would hope
	commit(t, log, "bar", newEvents(t, "a", n/2)...)
	commit(t, log, "bar", newEvents(t, "b", n/2)...)
	for _, tt := range []struct{ after, until, first, last uint64 }{
		{0, 0, 1, n},
		{0, 1, 1, 1},
		{n - 1, 0, n, n},
		{n, 0, 1, 0},
		{n + 10, 0, 1, 0},
		{5, 5, 1, 0},
		{600, 700, 601, 700},
		{n - 3, n + 100, n - 2, n},
	} {
		query := engine.Query{After: tt.after, Until: tt.until}
		wantOffsets(t, readAll(t, log, "bar", query), numbers(tt.first, tt.last))
		query.Topics = []roxy.Topic{mustTopic(t, "a"), mustTopic(t, "b"), mustTopic(t, "none")}
		wantOffsets(t, readAll(t, log, "bar", query), numbers(tt.first, tt.last))
	}
}

func readEndsAtHead(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvents(t, "a", 100)...)
	for _, topics := range [][]roxy.Topic{nil, {mustTopic(t, "a")}} {
		head := bounds(t, log, "bar").Head
		read := log.Read(t.Context(), "bar", engine.Query{Topics: topics})
		count := uint64(0)
		for _, err := range read {
			if err != nil {
				t.Fatal(err)
			}
			commit(t, log, "bar", newEvent(t, "a", ""))
			count++
		}
		if count != head {
			t.Errorf("%d events of a log of %d at the call", count, head)
		}
	}
}

func readOfUnknownTenant(t *testing.T, log engine.Log) {
	for _, query := range []engine.Query{{}, {After: 5}, {Topics: []roxy.Topic{mustTopic(t, "a")}}} {
		if events := readAll(t, log, "nobody", query); len(events) != 0 {
			t.Errorf("%d events", len(events))
		}
	}
}

func readStops(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvents(t, "a", 700)...)
	for stop := range 3 {
		count := 0
		for _, err := range log.Read(t.Context(), "bar", engine.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count > 300*stop {
				break // the iterator panics when it goes on
			}
		}
	}
}

func canceledContext(t *testing.T, log engine.Log) {
	commit(t, log, "bar", newEvent(t, "a", ""))
	tail := log.Tail()
	defer tail.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := log.Commit(ctx, "bar", newEvents(t, "a", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("commit: %v", err)
	}
	if _, err := log.Bounds(ctx, "pub"); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("bounds: %v", err)
	}
	if _, err := tail.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	var readErr error
	for _, err := range log.Read(ctx, "bar", engine.Query{}) {
		readErr = err
	}
	if !errors.Is(readErr, context.Canceled) {
		t.Errorf("read: %v", readErr)
	}
	commit(t, log, "bar", newEvent(t, "a", "")) // it harmed nobody
	if got := next(t, tail, 1); got[0].Offset != bounds(t, log, "bar").Head {
		t.Errorf("the tail went on with %d", got[0].Offset)
	}
}
