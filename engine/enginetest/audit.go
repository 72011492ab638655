package enginetest

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Audited is a log with an audit trail.
type Audited interface {
	engine.Log
	engine.Entities
	engine.Mutations
	engine.Audit
}

// Audit runs the contract of engine.Audit against what open returns: an engine that notes publishes and mutations, of its
// own each time, empty, and closed by t's cleanup.
func Audit(t *testing.T, open func(t *testing.T) Audited) {
	t.Helper()
	for _, law := range []law[Audited]{
		{"rows are numbered, stamped and chained", rowsAreChained},
		{"rows come back as they were noted", rowsComeBack},
		{"a query selects by each of its members", auditSelects},
		{"a query goes backwards and in pages", auditPages},
		{"times select", auditTimes},
		{"a publish has a row for each event, a repetition none", publishIsNoted},
		{"a mutation has a row, a refused or repeated one none", mutationIsNoted},
		{"tenants have trails of their own, and the hub's none", trailsAreApart},
		{"an empty trail is empty", emptyTrail},
		{"rows of many callers are chained", manyNote},
		{"what was yielded is the caller's", rowsAreTheCallers},
	} {
		t.Run(law.name, func(t *testing.T) { law.holds(t, open(t)) })
	}
}

func note(t testing.TB, log engine.Audit, tenant string, rows ...roxy.AuditRow) {
	t.Helper()
	if err := log.Note(t.Context(), tenant, rows); err != nil {
		t.Fatalf("note: %v", err)
	}
}

func auditBounds(t testing.TB, log engine.Audit, tenant string) engine.AuditBounds {
	t.Helper()
	b, err := log.AuditBounds(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// audited returns the rows of bar that query selects.
func audited(t testing.TB, log engine.Audit, query engine.AuditQuery) []roxy.AuditRow {
	t.Helper()
	var rows []roxy.AuditRow
	for entry, err := range log.Audited(t.Context(), "bar", query) {
		if err != nil {
			t.Fatalf("audit %+v: %v", query, err)
		}
		row, err := entry.Row()
		if err != nil || row.Seq != entry.Seq {
			t.Fatalf("entry %d: %s: %v", entry.Seq, entry.JSON, err)
		}
		rows = append(rows, row)
	}
	return rows
}

func seqsOf(rows []roxy.AuditRow) []uint64 {
	out := []uint64{}
	for i := range rows {
		out = append(out, rows[i].Seq)
	}
	return out
}

// wantChain reads all of a trail and fails unless it is whole, up to its head.
func wantChain(t testing.TB, log engine.Audit, tenant string) []roxy.AuditRow {
	t.Helper()
	b := auditBounds(t, log, tenant)
	hash, next := b.Before, b.First
	var rows []roxy.AuditRow
	var last time.Time
	for entry, err := range log.Audited(t.Context(), tenant, engine.AuditQuery{Before: b.Head + 1}) {
		if err != nil {
			t.Fatal(err)
		}
		if hash = hash.Next(entry.JSON); hash != entry.Hash || entry.Seq != next {
			t.Fatalf("row %d in the place of %d: %s, hash %s, want %s", entry.Seq, next, entry.JSON, entry.Hash, hash)
		}
		row, err := entry.Row()
		if err != nil {
			t.Fatal(err)
		}
		if row.Time.Before(last) {
			t.Errorf("row %d is of %s, before the one before it", row.Seq, row.Time)
		}
		rows, last = append(rows, row), row.Time
		next++
	}
	if next != b.Head+1 || hash != b.Hash {
		t.Fatalf("the trail ends before %d with %s, its head is %d with %s", next, hash, b.Head, b.Hash)
	}
	return rows
}

func rowsAreChained(t *testing.T, log Audited) {
	before := time.Now().Add(-time.Second)
	for i := range 20 {
		var rows []roxy.AuditRow
		for range i {
			rows = append(rows, roxy.AuditRow{Kind: roxy.AuditConnect, User: "u7", Seq: 99, Time: time.Unix(9, 0)})
		}
		note(t, log, "bar", rows...)
		if len(rows) > 0 && rows[0].Seq != 99 {
			t.Fatal("the caller's rows were changed")
		}
	}
	rows := wantChain(t, log, "bar")
	if len(rows) != 190 || rows[0].Time.Before(before) || rows[189].Time.After(time.Now().Add(time.Second)) {
		t.Errorf("%d rows, from %+v", len(rows), rows[0])
	}
	if b := auditBounds(t, log, "bar"); b.First != 1 || b.Before != roxy.AuditGenesis("bar") {
		t.Errorf("%+v", b)
	}
}

func rowsComeBack(t *testing.T, log Audited) {
	all := []roxy.AuditRow{
		{Kind: roxy.AuditRefusal, User: `o"neil\`, Topic: "orders/**", Reason: "forbidden", Member: "topic", Detail: "a\nline\x00 of <b>&\u2028 \xff"},
		{
			Kind: roxy.AuditDelivery, User: "u7", Device: "d1", Connection: "c", Topic: "orders/1", Type: "t", Correlation: "k", Event: "e.1",
			Reason: "written", Member: "m", Transport: "sse", Remote: "::1", Mutation: "x", Version: math.MaxUint64, Attempt: 3, Count: 7, Detail: "d",
		},
	}
	note(t, log, "bar", all...)
	rows := wantChain(t, log, "bar")
	all[0].Detail = "a\nline\x00 of <b>&\u2028 \uFFFD"
	for i := range all {
		all[i].Seq, all[i].Time = rows[i].Seq, rows[i].Time
		if rows[i] != all[i] {
			t.Errorf("got  %+v\nwant %+v", rows[i], all[i])
		}
	}
}

func auditSelects(t *testing.T, log Audited) {
	note(t, log, "bar",
		roxy.AuditRow{Kind: roxy.AuditConnect, User: "u1", Device: "d1"},
		roxy.AuditRow{Kind: roxy.AuditPublish, User: "u1", Topic: "orders/1", Correlation: "c1", Event: "e.1"},
		roxy.AuditRow{Kind: roxy.AuditPublish, User: "u2", Topic: "orders/1/lines", Correlation: "c1", Event: "e.2"},
		roxy.AuditRow{Kind: roxy.AuditAck, User: "u2", Device: "d2", Event: "e.1"},
	)
	note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditRefusal, User: "u1", Topic: "orders/*", Detail: `"user":"u2"`, Reason: "d1"})
	note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditDisconnect, User: "u1", Device: "d1", Topic: "roxy/dead-letters"})
	pattern := func(s string) roxy.Pattern {
		p, err := roxy.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, tt := range map[string]struct {
		query engine.AuditQuery
		want  []uint64
	}{
		"everything":               {engine.AuditQuery{}, []uint64{1, 2, 3, 4, 5, 6}},
		"a user":                   {engine.AuditQuery{User: "u2"}, []uint64{3, 4}},
		"a device":                 {engine.AuditQuery{Device: "d1"}, []uint64{1, 6}},
		"a correlation":            {engine.AuditQuery{Correlation: "c1"}, []uint64{2, 3}},
		"an event":                 {engine.AuditQuery{Event: "e.1"}, []uint64{2, 4}},
		"a topic":                  {engine.AuditQuery{Topic: pattern("orders/1")}, []uint64{2}},
		"a pattern":                {engine.AuditQuery{Topic: pattern("orders/*")}, []uint64{2}},
		"a pattern of all below":   {engine.AuditQuery{Topic: pattern("orders/**")}, []uint64{2, 3}},
		"the hub's topics":         {engine.AuditQuery{Topic: pattern("roxy/**")}, []uint64{6}},
		"a kind":                   {engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditPublish}}, []uint64{2, 3}},
		"two kinds":                {engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditAck, roxy.AuditConnect}}, []uint64{1, 4}},
		"a kind of a user":         {engine.AuditQuery{User: "u1", Kinds: []roxy.AuditKind{roxy.AuditPublish}}, []uint64{2}},
		"behind a row":             {engine.AuditQuery{After: 4}, []uint64{5, 6}},
		"before a row":             {engine.AuditQuery{Before: 3}, []uint64{1, 2}},
		"between":                  {engine.AuditQuery{After: 2, Before: 4}, []uint64{3}},
		"between, of two blocks":   {engine.AuditQuery{After: 3, Before: 6}, []uint64{4, 5}},
		"behind all":               {engine.AuditQuery{After: 6}, []uint64{}},
		"behind all that could be": {engine.AuditQuery{After: math.MaxUint64}, []uint64{}},
		"before all":               {engine.AuditQuery{Before: 1}, []uint64{}},
		"nobody":                   {engine.AuditQuery{User: "u"}, []uint64{}},
	} {
		if got := seqsOf(audited(t, log, tt.query)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		tt.query.Backwards = true
		slices.Reverse(tt.want)
		if got := seqsOf(audited(t, log, tt.query)); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s, backwards: %v, want %v", name, got, tt.want)
		}
	}
}

func auditPages(t *testing.T, log Audited) {
	const n = 2000
	for i := 0; i < n; i += 100 {
		rows := make([]roxy.AuditRow, 100)
		for j := range rows {
			rows[j] = roxy.AuditRow{Kind: roxy.AuditConnect, User: fmt.Sprint("u", (i+j)%2)}
		}
		note(t, log, "bar", rows...)
	}
	for _, backwards := range []bool{false, true} {
		var got []uint64
		query := engine.AuditQuery{User: "u1", Backwards: backwards}
		for {
			seen := 0
			for entry, err := range log.Audited(t.Context(), "bar", query) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, entry.Seq)
				if query.After = entry.Seq; backwards {
					query.After, query.Before = 0, entry.Seq
				}
				if seen++; seen == 37 {
					break
				}
			}
			if seen < 37 {
				break
			}
			note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditAdmin, User: "boss"}) // pages do not mind
		}
		var want []uint64
		for seq := uint64(2); seq <= n; seq += 2 {
			want = append(want, seq)
		}
		if backwards {
			slices.Reverse(want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("backwards %v: %d rows, want %d: %v", backwards, len(got), len(want), got)
		}
	}
}

func auditTimes(t *testing.T, log Audited) {
	for range 5 {
		note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditConnect}, roxy.AuditRow{Kind: roxy.AuditDisconnect})
	}
	rows := wantChain(t, log, "bar")
	for i := range rows {
		at := rows[i].Time
		var from, to []uint64
		for j := range rows {
			if !rows[j].Time.Before(at) {
				from = append(from, rows[j].Seq)
			} else {
				to = append(to, rows[j].Seq)
			}
		}
		if got := seqsOf(audited(t, log, engine.AuditQuery{From: at})); !slices.Equal(got, from) {
			t.Errorf("from %s: %v, want %v", at, got, from)
		}
		if got := seqsOf(audited(t, log, engine.AuditQuery{To: at})); !slices.Equal(got, to) {
			t.Errorf("to %s: %v, want %v", at, got, to)
		}
		if got := audited(t, log, engine.AuditQuery{From: at, To: at, Backwards: true}); len(got) != 0 {
			t.Errorf("%d rows of no time", len(got))
		}
	}
	if got := audited(t, log, engine.AuditQuery{From: time.Now().Add(time.Hour)}); len(got) != 0 {
		t.Errorf("%d rows of the future", len(got))
	}
}

func publishIsNoted(t *testing.T, log Audited) {
	ev := newEvent(t, "orders/7", "key")
	ev.Correlation = "c"
	receipt := commit(t, log, "bar", newEvent(t, "a", ""), ev)
	commit(t, log, "bar", ev)
	rows := wantChain(t, log, "bar")
	if len(rows) != 2 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	want := roxy.AuditRow{
		Seq: 2, Time: rows[1].Time, Kind: roxy.AuditPublish, User: ev.By, Topic: "orders/7", Type: ev.Type, Correlation: "c",
		Event: roxy.Cursor{Epoch: receipt.Epoch, Offset: 2}.String(),
	}
	if rows[1] != want {
		t.Errorf("got  %+v\nwant %+v", rows[1], want)
	}
}

func mutationIsNoted(t *testing.T, log Audited) {
	one := put(mustTopic(t, "orders/1"), `{"a":1}`)
	one.ID, one.By, one.Device, one.Correlation = "m1", "u7", "d1", "c"
	for range 2 {
		if _, err := log.Mutate(t.Context(), "bar", []engine.Mutation{one}); err != nil {
			t.Fatal(err)
		}
	}
	bad := put(mustTopic(t, "orders/1"), `{"a":2}`)
	bad.Guard = roxy.GuardVersion
	if _, err := log.Mutate(t.Context(), "bar", []engine.Mutation{bad}); err == nil {
		t.Fatal("a stale mutation committed")
	}
	if _, err := log.Cancel(t.Context(), "bar", "u7", "m2"); err != nil {
		t.Fatal(err)
	}
	rows := wantChain(t, log, "bar")
	if len(rows) != 2 {
		t.Fatalf("%d rows: %+v", len(rows), rows)
	}
	want := roxy.AuditRow{
		Seq: 1, Time: rows[0].Time, Kind: roxy.AuditMutation, User: "u7", Device: "d1", Topic: "orders/1", Type: roxy.EntityCreated,
		Correlation: "c", Reason: "put", Mutation: "m1", Version: 1, Event: rows[0].Event,
	}
	if rows[0] != want || rows[0].Event == "" {
		t.Errorf("got  %+v\nwant %+v", rows[0], want)
	}
	if want := (roxy.AuditRow{Seq: 2, Time: rows[1].Time, Kind: roxy.AuditCancellation, User: "u7", Mutation: "m2"}); rows[1] != want {
		t.Errorf("got %+v", rows[1])
	}
}

func trailsAreApart(t *testing.T, log Audited) {
	note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditConnect})
	note(t, log, "ba", roxy.AuditRow{Kind: roxy.AuditConnect})
	note(t, log, "barr", roxy.AuditRow{Kind: roxy.AuditConnect})
	note(t, log, "$hub", roxy.AuditRow{Kind: roxy.AuditConnect})
	commit(t, log, "$hub", newEvent(t, "a", ""))
	hashes := make(map[roxy.AuditHash]string)
	for tenant, n := range map[string]int{"bar": 1, "ba": 1, "barr": 1, "$hub": 0} {
		rows := wantChain(t, log, tenant)
		if len(rows) != n {
			t.Errorf("%s has %d rows, want %d", tenant, len(rows), n)
		}
		b := auditBounds(t, log, tenant)
		if other, ok := hashes[b.Hash]; ok {
			t.Errorf("%s has the head of %s", tenant, other)
		}
		hashes[b.Hash] = tenant
	}
}

func emptyTrail(t *testing.T, log Audited) {
	for _, backwards := range []bool{false, true} {
		for _, query := range []engine.AuditQuery{{}, {From: time.Now()}, {To: time.Now()}, {After: 7}, {Before: 9}} {
			if query.Backwards = backwards; len(audited(t, log, query)) != 0 {
				t.Errorf("%+v yields rows", query)
			}
		}
	}
	if b := auditBounds(t, log, "bar"); b != (engine.AuditBounds{First: 1, Before: roxy.AuditGenesis("bar"), Hash: roxy.AuditGenesis("bar")}) {
		t.Errorf("%+v", b)
	}
	note(t, log, "bar")
	wantChain(t, log, "bar")
}

func manyNote(t *testing.T, log Audited) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 25 {
				if err := log.Note(t.Context(), "bar", []roxy.AuditRow{{Kind: roxy.AuditConnect, User: fmt.Sprint(i), Count: uint64(j + 1)}}); err != nil {
					t.Error(err)
				}
				if _, err := log.Commit(t.Context(), "bar", []roxy.Event{newEvent(t, "a", "")}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if rows := wantChain(t, log, "bar"); len(rows) != 400 {
		t.Errorf("%d rows", len(rows))
	}
	for i := range 8 {
		rows := audited(t, log, engine.AuditQuery{User: fmt.Sprint(i)})
		for j := range rows {
			if rows[j].Count != uint64(j+1) {
				t.Fatalf("row %d of %d in the place of %d", rows[j].Count, i, j+1)
			}
		}
	}
}

func rowsAreTheCallers(t *testing.T, log Audited) {
	note(t, log, "bar", roxy.AuditRow{Kind: roxy.AuditConnect}, roxy.AuditRow{Kind: roxy.AuditConnect})
	for range 2 {
		for entry, err := range log.Audited(t.Context(), "bar", engine.AuditQuery{}) {
			if err != nil {
				t.Fatal(err)
			}
			clear(entry.JSON)
		}
	}
	wantChain(t, log, "bar")
}
