package disk

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func TestAStoreIsTheSameAfterItWasOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	commitN(t, e, "bar", 100)
	if err := e.Trim(t.Context(), "bar", 40); err != nil {
		t.Fatal(err)
	}
	before, err := e.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	empty, err := e.Bounds(t.Context(), "pub")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, dir, Options{})
	if after, err := e.Bounds(t.Context(), "bar"); err != nil || after != before {
		t.Errorf("bounds %+v, before %+v: %v", after, before, err)
	}
	if after, err := e.Bounds(t.Context(), "pub"); err != nil || after != empty {
		t.Errorf("bounds of an empty log %+v, before %+v: %v", after, empty, err)
	}
	wantLog(t, e, 41, 100)
	for _, err := range e.Read(t.Context(), "bar", engine.Query{After: 39}) {
		if !errors.Is(err, engine.ErrTrimmed) {
			t.Errorf("read after 39: %v, want ErrTrimmed", err)
		}
	}
	commitN(t, e, "bar", 1)
	wantLog(t, e, 41, 101)
}

func TestAClosedEngineSaysSo(t *testing.T) {
	e, err := Open(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	commitN(t, e, "bar", 2000)
	tail := e.Tail()
	read := e.Read(t.Context(), "bar", engine.Query{})
	var midway error
	for ev, err := range read {
		if midway = err; ev.Offset == 1 {
			if err := e.Close(); err != nil { // a reader between two chunks does not stop it
				t.Fatal(err)
			}
		}
	}
	_, commitErr := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "a", "")})
	_, boundsErr := e.Bounds(t.Context(), "bar")
	_, nextErr := tail.Next(t.Context())
	_, lateErr := e.Tail().Next(t.Context())
	var readErr error
	for _, err := range e.Read(t.Context(), "bar", engine.Query{}) {
		readErr = err
	}
	for what, err := range map[string]error{
		"commit": commitErr, "bounds": boundsErr, "trim": e.Trim(t.Context(), "bar", 1), "next": nextErr,
		"next of a tail opened later": lateErr, "read": readErr, "a read under way": midway,
	} {
		if !errors.Is(err, engine.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Errorf("close again: %v", err)
	}
}

func TestADirectoryBelongsToOneEngine(t *testing.T) {
	dir := t.TempDir()
	openAt(t, dir, Options{})
	if e, err := Open(dir, Options{}); err == nil {
		t.Errorf("a second engine opened %s: %v", dir, e.Close())
	}
}

func TestALostRecordIsReportedWhereItStood(t *testing.T) {
	topic := event(t, "orders/4", "").Topic
	for name, tt := range map[string]struct {
		spoil func(db *pebble.DB) error
		query engine.Query
		good  int // events before the damage
	}{
		"missing, in a scan": {
			func(db *pebble.DB) error { return db.Delete(logKey("bar", 5), pebble.Sync) },
			engine.Query{},
			4,
		},
		"missing, on a topic": {
			func(db *pebble.DB) error { return db.Delete(logKey("bar", 1005), pebble.Sync) },
			engine.Query{Topics: []roxy.Topic{topic}},
			1,
		},
		"missing at the head": {
			func(db *pebble.DB) error { return db.Delete(logKey("bar", 2000), pebble.Sync) },
			engine.Query{},
			1999,
		},
		"in another's place": {
			func(db *pebble.DB) error {
				value, closer, err := db.Get(logKey("bar", 6))
				if err != nil {
					return err
				}
				return errors.Join(db.Set(logKey("bar", 5), value, pebble.Sync), closer.Close())
			},
			engine.Query{},
			4,
		},
		"spoilt": {
			func(db *pebble.DB) error { return db.Set(logKey("bar", 5), make([]byte, 100), pebble.Sync) },
			engine.Query{},
			4,
		},
		"under a topic that is not its own": {
			func(db *pebble.DB) error { return db.Set(appendTopicKey(nil, "bar", topic, 7), nil, pebble.Sync) },
			engine.Query{Topics: []roxy.Topic{topic}},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, Options{})
			commitN(t, e, "bar", 2000)
			if err := tt.spoil(e.db); err != nil {
				t.Fatal(err)
			}
			good := 0
			var ended error
			for _, err := range e.Read(t.Context(), "bar", tt.query) {
				if ended = err; err == nil {
					good++
				}
			}
			if !errors.Is(ended, engine.ErrCorrupt) || good != tt.good {
				t.Errorf("%d events and %v, want %d and ErrCorrupt", good, ended, tt.good)
			}
		})
	}
}

func TestADamagedTenantIsRefusedAndTheOthersGoOn(t *testing.T) {
	for name, spoil := range map[string]func(db *pebble.DB) error{
		"its newest record is gone": func(db *pebble.DB) error { return db.Delete(logKey("bar", 10), pebble.Sync) },
		"its meta is gone":          func(db *pebble.DB) error { return db.Delete(metaKey("bar"), pebble.Sync) },
		"its meta is spoilt":        func(db *pebble.DB) error { return db.Set(metaKey("bar"), []byte("spoilt"), pebble.Sync) },
		"its meta is an old one": func(db *pebble.DB) error {
			return db.Set(metaKey("bar"), meta{epoch: "e", head: 9, first: 1, total: 1}.encode(), pebble.Sync)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			commitN(t, e, "bar", 10)
			commitN(t, e, "pub", 10)
			if err := errors.Join(spoil(e.db), e.Close()); err != nil {
				t.Fatal(err)
			}
			e = openAt(t, dir, Options{})
			_, boundsErr := e.Bounds(t.Context(), "bar")
			_, commitErr := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "a", "")})
			var readErr error
			for _, err := range e.Read(t.Context(), "bar", engine.Query{}) {
				readErr = err
			}
			for what, err := range map[string]error{"bounds": boundsErr, "commit": commitErr, "read": readErr} {
				if !errors.Is(err, engine.ErrCorrupt) {
					t.Errorf("%s: %v, want ErrCorrupt", what, err)
				}
			}
			commitN(t, e, "pub", 1)
			wantBounds(t, e, "pub", 1, 11)
		})
	}
}

func TestStatsCountWhatWasDone(t *testing.T) {
	e := open(t, Options{FS: vfs.NewMem()})
	for i := range 3 {
		for range 2 {
			if _, err := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "a", fmt.Sprint(i)), event(t, "b", "")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	other := event(t, "c", "0")
	if _, err := e.Commit(t.Context(), "bar", []roxy.Event{other}); !errors.Is(err, roxy.ErrKeyReused) {
		t.Fatal(err)
	}
	wantLog(t, e, 1, 9)
	s := e.Stats()
	if s.Commits != 6 || s.Events != 9 || s.Groups != 6 || s.Records != 9 || s.Tenants != 1 || s.Refusals.KeyReused != 1 ||
		s.Bytes == 0 || s.GroupCalls.Count() != 6 || s.Sync.Count() != 6 || s.Failed || s.FreeBytes != 0 {
		t.Errorf("%+v", s)
	}
}

func FuzzDecodeMeta(f *testing.F) {
	f.Add(meta{epoch: "k3x9", head: 9, first: 4, total: 1000, last: 17}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		if string(m.encode()) != string(b) {
			t.Fatalf("%x became %x", b, m.encode())
		}
	})
}
