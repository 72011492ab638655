package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// rowsOf returns the rows of bar's trail that query selects.
func (f fixture) rowsOf(t *testing.T, query engine.AuditQuery) (rows []roxy.AuditRow) {
	t.Helper()
	all, _, err := f.Audited(t.Context(), "bar", query)
	if err != nil {
		t.Fatal(err)
	}
	for entry, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		row, err := entry.Row()
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

// settled ends the hub, which notes all that waits.
func (f fixture) settled(t *testing.T) {
	t.Helper()
	if err := f.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestStreamsAreNotedWithWhyTheyEnded(t *testing.T) {
	f := startQuick(t, Options{})
	a, b, c := all(t, "bar", "u1"), all(t, "bar", "u2"), all(t, "bar", "u3")
	a.TokenID = "j1"
	gone, stop := f.subscribe(t, Subscription{Identity: b, Connection: "c2", Patterns: []roxy.Pattern{pattern(t, "a"), pattern(t, "b/*")}, Remote: "10.0.0.2"})
	revoked, _ := f.subscribe(t, Subscription{Identity: a, Connection: "c1", Patterns: []roxy.Pattern{pattern(t, "a")}, Device: "d1"})
	drained, _ := f.subscribe(t, Subscription{Identity: c, Connection: "c3", Patterns: []roxy.Pattern{pattern(t, "a")}})
	waits, _ := f.subscribe(t, Subscription{Identity: c, Connection: "c4"})
	for _, r := range []*recorder{gone, revoked, drained, waits} {
		r.awaitLine(t, "C roxy:live")
	}
	_ = stop()
	if err := f.RevokeBy(t.Context(), all(t, "bar", "boss"), "10.0.0.9", roxy.Revocation{Tenant: "bar", TokenID: "j1"}); err != nil {
		t.Fatal(err)
	}
	if rows := f.rowsOf(t, engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditRevocation}}); len(rows) != 1 ||
		rows[0].User != "boss" || rows[0].Remote != "10.0.0.9" || rows[0].Reason != "token" || rows[0].Detail != `the token "j1"` {
		t.Errorf("a revocation that is over is not noted: %+v", rows)
	}
	revoked.awaitLine(t, "C roxy:bye")
	f.settled(t)
	reasons := map[string]string{}
	for _, row := range f.rowsOf(t, engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditConnect, roxy.AuditDisconnect}}) {
		reasons[row.Connection] += string(row.Kind) + " " + row.Reason + ";"
		if row.Transport != "test" || row.Time.IsZero() || (row.Connection == "c2") != (row.Remote == "10.0.0.2") || (row.Connection == "c1") != (row.Device == "d1") {
			t.Errorf("%+v", row)
		}
		if row.Kind == roxy.AuditConnect && row.Connection == "c2" && row.Detail != "reads a b/*" {
			t.Errorf("%+v", row)
		}
	}
	want := map[string]string{"c1": "connect ;disconnect revoked;", "c2": "connect ;disconnect client;", "c3": "connect ;disconnect drain;"}
	if fmt.Sprint(reasons) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", reasons, want)
	}
}

func TestRefusalsAreNotedWithoutWhatWasSent(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	for _, p := range []*roxy.Problem{
		{Code: roxy.Forbidden, Member: "topic", Detail: `topic "tables/7" lies outside what "u1" may publish`},
		{Code: roxy.InvalidEvent, Member: "type", Detail: `type: "a secret" is not good`},
		{Code: roxy.RateLimited},
		{Code: roxy.Overloaded},
		{Code: roxy.NotReady},
		{Code: roxy.Internal},
	} {
		f.NoteRefusal(me, "10.0.0.1", "POST /v1/events", "c1", p)
	}
	f.NoteRefusal(all(t, "$canary", "canary"), "", "", "", &roxy.Problem{Code: roxy.Forbidden})
	f.settled(t)
	rows := f.rowsOf(t, engine.AuditQuery{Correlation: "c1"})
	if len(rows) != 2 || rows[0].Reason != "forbidden" || !strings.Contains(rows[0].Detail, "tables/7") || rows[1].Detail != "POST /v1/events" || rows[1].Member != "type" {
		t.Errorf("%+v", rows)
	}
}

// busy is a store that takes no rows until it is let go, or not at all.
type busy struct {
	*disk.Engine
	mu     sync.Mutex
	letGo  chan struct{}
	broken error
}

func (b *busy) Note(ctx context.Context, tenant string, rows []roxy.AuditRow) error {
	<-b.letGo
	b.mu.Lock()
	broken := b.broken
	b.mu.Unlock()
	if broken != nil {
		return broken
	}
	return b.Engine.Note(ctx, tenant, rows)
}

func startBusy(t *testing.T) (fixture, *busy) {
	t.Helper()
	e, err := disk.Open("data", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	store := &busy{Engine: e, letGo: make(chan struct{})}
	h, err := Start(t.Context(), store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(h.Close(context.Background()), e.Close()); err != nil {
			t.Error(err)
		}
	})
	return fixture{h, e}, store
}

func TestRowsForWhichThereWasNoRoomAreToldByAGap(t *testing.T) {
	f, store := startBusy(t)
	me := all(t, "bar", "u1")
	const n = 3 * maxUnnoted
	for range n {
		f.NoteAct(me, "", "drain", "")
	}
	lost := f.Stats().Unnoted
	if lost < maxUnnoted {
		t.Errorf("%d rows are lost of %d", lost, n)
	}
	close(store.letGo)
	f.settled(t)
	gaps := f.rowsOf(t, engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditGap}})
	acts := f.rowsOf(t, engine.AuditQuery{Kinds: []roxy.AuditKind{roxy.AuditAdmin}})
	if len(gaps) != 1 || gaps[0].Count != lost || uint64(len(acts))+lost != n {
		t.Errorf("%d rows and the gap %+v, lost were %d of %d", len(acts), gaps, lost, n)
	}
}

func TestRowsThatTheStoreDidNotTakeAreToldByAGap(t *testing.T) {
	f, store := startBusy(t)
	close(store.letGo)
	store.broken = roxy.ErrOverloaded
	me := all(t, "bar", "u1")
	for range 10 {
		f.NoteAct(me, "", "drain", "")
	}
	deadline := time.After(20 * time.Second)
	for f.Stats().Unnoted < 10 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatal("the rows were not given up")
		}
	}
	store.mu.Lock()
	store.broken = nil
	store.mu.Unlock()
	f.settled(t)
	if rows := f.rowsOf(t, engine.AuditQuery{}); len(rows) != 1 || rows[0].Kind != roxy.AuditGap || rows[0].Count != 10 {
		t.Errorf("%+v", rows)
	}
}
