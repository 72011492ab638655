package disk

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func noteN(t testing.TB, e *Engine, tenant string, n int) {
	t.Helper()
	for i := range n {
		if err := e.Note(t.Context(), tenant, []roxy.AuditRow{{Kind: roxy.AuditConnect, User: fmt.Sprint("u", i)}, {Kind: roxy.AuditDisconnect}}); err != nil {
			t.Fatal(err)
		}
	}
}

// verifyTrail reads all of a trail and returns how many rows it has, or the first thing that is not as it was written.
func verifyTrail(t testing.TB, e *Engine, tenant string) (int, error) {
	t.Helper()
	b, err := e.AuditBounds(t.Context(), tenant)
	if err != nil {
		return 0, err
	}
	hash, n := b.Before, 0
	for entry, err := range e.Audited(t.Context(), tenant, engine.AuditQuery{Before: b.Head + 1}) {
		if err != nil {
			return n, err
		}
		if hash = hash.Next(entry.JSON); hash != entry.Hash || entry.Seq != b.First+uint64(n) {
			return n, fmt.Errorf("row %d in the place of %d", entry.Seq, b.First+uint64(n))
		}
		n++
	}
	if uint64(n) != b.Head+1-b.First || hash != b.Hash {
		return n, fmt.Errorf("%d rows of %+v", n, b)
	}
	return n, nil
}

func wantTrail(t testing.TB, e *Engine, tenant string, rows int) {
	t.Helper()
	if n, err := verifyTrail(t, e, tenant); err != nil || n != rows {
		t.Fatalf("%d rows, want %d: %v", n, rows, err)
	}
}

func TestATrailIsTheSameAfterItWasOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{Audit: Audit{Publishes: true}})
	if err != nil {
		t.Fatal(err)
	}
	noteN(t, e, "bar", 10)
	commitN(t, e, "bar", 10)
	before, err := e.AuditBounds(t.Context(), "bar")
	if err = errors.Join(err, e.Close()); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, dir, Options{Audit: Audit{Publishes: true}})
	if after, err := e.AuditBounds(t.Context(), "bar"); err != nil || after != before {
		t.Errorf("%+v, before %+v: %v", after, before, err)
	}
	noteN(t, e, "bar", 1)
	wantTrail(t, e, "bar", 32)
	if names, err := e.Tenants(); err != nil || !reflect.DeepEqual(names, []string{"bar"}) {
		t.Errorf("tenants %q: %v", names, err)
	}
}

func TestPublishesHaveNoRowsUnlessAskedFor(t *testing.T) {
	e := open(t, Options{})
	commitN(t, e, "bar", 3)
	wantTrail(t, e, "bar", 0)
	noteN(t, e, "bar", 1)
	wantTrail(t, e, "bar", 2)
}

// A block's record is rewritten with a good checksum, as somebody would who wants to hide something.
func TestATrailThatWasTamperedWithIsFound(t *testing.T) {
	block := func(db *pebble.DB, seq uint64) auditBlock {
		value, closer, err := db.Get(auditKey("bar", seq))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = closer.Close() }()
		b, err := decodeAudit(seq, append([]byte(nil), value...))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	set := func(db *pebble.DB, seq uint64, b auditBlock) error {
		value := make([]byte, auditFixed+len(b.rows))
		b.put(value)
		return db.Set(auditKey("bar", seq), value, pebble.Sync)
	}
	for name, spoil := range map[string]func(db *pebble.DB) error{
		"a row is changed": func(db *pebble.DB) error {
			b := block(db, 11)
			b.rows[len(b.rows)-3] ^= 1
			return set(db, 11, b)
		},
		"the time is changed": func(db *pebble.DB) error {
			b := block(db, 11)
			b.time++
			return set(db, 11, b)
		},
		"a row is deleted": func(db *pebble.DB) error {
			b := block(db, 11)
			_, b.rows = nextAuditRow(b.rows)
			b.count--
			return set(db, 11, b)
		},
		"a row is inserted": func(db *pebble.DB) error {
			b := block(db, 11)
			b.rows = append(b.rows, b.rows...)
			b.count *= 2
			return set(db, 11, b)
		},
		"two rows are swapped": func(db *pebble.DB) error {
			b := block(db, 11)
			first, others := nextAuditRow(b.rows)
			b.rows = append(append([]byte(nil), others...), b.rows[:4+len(first)]...)
			return set(db, 11, b)
		},
		"a block is deleted":          func(db *pebble.DB) error { return db.Delete(auditKey("bar", 11), pebble.Sync) },
		"the oldest block is deleted": func(db *pebble.DB) error { return db.Delete(auditKey("bar", 1), pebble.Sync) },
		"the newest block is deleted": func(db *pebble.DB) error { return db.Delete(auditKey("bar", 19), pebble.Sync) },
		"a block is inserted":         func(db *pebble.DB) error { return set(db, 12, block(db, 11)) },
		"two blocks are swapped": func(db *pebble.DB) error {
			a, b := block(db, 11), block(db, 13)
			return errors.Join(set(db, 11, b), set(db, 13, a))
		},
		"another's rows are in its place": func(db *pebble.DB) error {
			b := block(db, 11)
			b.prev = roxy.AuditGenesis("pub")
			return set(db, 11, b)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := open(t, Options{})
			noteN(t, e, "bar", 10)
			wantTrail(t, e, "bar", 20)
			if err := spoil(e.db); err != nil {
				t.Fatal(err)
			}
			n, err := verifyTrail(t, e, "bar")
			if err == nil {
				t.Errorf("%d rows are found to be good", n)
			}
			t.Log(n, err)
		})
	}
}

func TestAFlippedBitOfATrailIsNeverServed(t *testing.T) {
	for _, query := range []engine.AuditQuery{{}, {Backwards: true}, {User: "u9"}, {From: time.Unix(1, 0)}} {
		e := open(t, Options{})
		noteN(t, e, "bar", 10)
		value, closer, err := e.db.Get(auditKey("bar", 9))
		if err != nil {
			t.Fatal(err)
		}
		flipped := append([]byte(nil), value...)
		flipped[len(flipped)/2] ^= 4
		if err := errors.Join(closer.Close(), e.db.Set(auditKey("bar", 9), flipped, pebble.Sync)); err != nil {
			t.Fatal(err)
		}
		var ended error
		for entry, err := range e.Audited(t.Context(), "bar", query) {
			if ended = err; err == nil && (entry.Seq == 9 || entry.Seq == 10) {
				t.Errorf("row %d was served", entry.Seq)
			}
		}
		if !errors.Is(ended, engine.ErrCorrupt) {
			t.Errorf("%+v: %v", query, ended)
		}
	}
}

func TestATrailWhoseEndIsSpoiltRefusesItsTenant(t *testing.T) {
	dir := t.TempDir()
	e, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	noteN(t, e, "bar", 10)
	noteN(t, e, "pub", 10)
	if err := errors.Join(e.db.Set(auditKey("bar", 19), []byte("spoilt"), pebble.Sync), e.Close()); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, dir, Options{})
	if err := e.Note(t.Context(), "bar", []roxy.AuditRow{{Kind: roxy.AuditConnect}}); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("note: %v", err)
	}
	if _, err := verifyTrail(t, e, "bar"); !errors.Is(err, engine.ErrCorrupt) {
		t.Errorf("read: %v", err)
	}
	wantTrail(t, e, "pub", 20)
}

func TestATrailForgetsByAgeAndByBytesAndStaysWhole(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	opts := Options{Audit: Audit{Age: time.Hour}, now: c.now}
	e, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		noteN(t, e, "bar", 5)
		c.advance(10 * time.Minute)
	}
	e.tidyAll() // as of the log: those of the first 40 minutes are too old
	wantTrail(t, e, "bar", 60)
	c.advance(10 * time.Minute)
	e.tidyAll()
	wantTrail(t, e, "bar", 50)
	if s := e.Stats(); s.AuditForgotten != 50 || s.Audited != 100 {
		t.Errorf("%+v", s)
	}
	c.advance(2 * time.Hour)
	e.tidyAll()
	e.tidyAll()
	wantTrail(t, e, "bar", 0) // the hash of its head stays
	head, err := e.AuditBounds(t.Context(), "bar")
	if err = errors.Join(err, e.Close()); err != nil || head.Head != 100 || head.First != 101 {
		t.Fatalf("%+v: %v", head, err)
	}
	opts.Audit = Audit{Bytes: 4000}
	e = openAt(t, dir, opts)
	if again, err := e.AuditBounds(t.Context(), "bar"); err != nil || again != head {
		t.Errorf("%+v, before %+v: %v", again, head, err)
	}
	noteN(t, e, "bar", 100)
	wantTrail(t, e, "bar", 200)
	e.tidyAll()
	n, err := verifyTrail(t, e, "bar")
	if size := n / 2 * (auditFixed + 2*(len(`,"kind":"disconnect"}`)+4)); err != nil || n == 0 || size > 4000 {
		t.Errorf("%d rows: %v", n, err)
	}
	wantTrail(t, e, "bar", n)
}

func TestAReaderOfATrailThatRetentionOvertakesGoesOn(t *testing.T) {
	for _, backwards := range []bool{false, true} {
		e := open(t, Options{})
		rows := make([]roxy.AuditRow, 100)
		for i := range rows {
			rows[i].Kind = roxy.AuditConnect
		}
		for range 40 {
			if err := e.Note(t.Context(), "bar", rows); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[uint64]bool{}
		for entry, err := range e.Audited(t.Context(), "bar", engine.AuditQuery{Backwards: backwards}) {
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) == 0 {
				if err := e.forgetRows(t.Context(), "bar", 3001); err != nil {
					t.Fatal(err)
				}
			}
			seen[entry.Seq] = true
		}
		for seq := uint64(3001); seq <= 4000; seq++ {
			if !seen[seq] {
				t.Fatalf("backwards %v: row %d was not seen", backwards, seq)
			}
		}
		wantTrail(t, e, "bar", 1000)
	}
}

func TestAFullDiskRefusesRowsAndStillForgets(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		c := newClock()
		e := openAt(t, disk.dir, Options{FS: disk.fs, MinFree: smallMinFree, Audit: Audit{Age: time.Hour, Publishes: true}, now: c.now})
		noteN(t, e, "bar", 5)
		release := disk.hog(t, smallMinFree/2)
		if err := e.Note(t.Context(), "bar", []roxy.AuditRow{{Kind: roxy.AuditConnect}}); !errors.Is(err, roxy.ErrOverloaded) {
			t.Errorf("a row on a full disk: %v", err)
		}
		wantTrail(t, e, "bar", 10)
		c.advance(2 * time.Hour)
		e.tidyAll()
		wantTrail(t, e, "bar", 0)
		release()
		noteN(t, e, "bar", 1)
		commitN(t, e, "bar", 1)
		wantTrail(t, e, "bar", 3)
	})
}

func TestAGroupThatIsRefusedLeavesNoRows(t *testing.T) {
	e := open(t, Options{FS: vfs.NewMem(), Audit: Audit{Publishes: true}})
	refused := errors.New("refused")
	_, err := e.submit(t.Context(), &call{tenant: "bar", done: make(chan result, 1), do: func(g *group) error {
		tn, err := g.open("bar")
		if err != nil {
			return err
		}
		g.note(tn, &roxy.AuditRow{Kind: roxy.AuditAck})
		return refused
	}})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	commitN(t, e, "bar", 1)
	wantTrail(t, e, "bar", 1)
}

func FuzzDecodeAudit(f *testing.F) {
	for _, rows := range [][]string{nil, {""}, {`,"kind":"connect"}`, `,"kind":"disconnect","user":"u7"}`}} {
		b := auditBlock{first: 7, time: 9, total: 100, prev: roxy.AuditGenesis("bar"), count: len(rows)}
		for _, row := range rows {
			b.rows = append(append(b.rows, 0, 0, 0, byte(len(row))), row...)
		}
		value := make([]byte, auditFixed+len(b.rows))
		b.put(value)
		f.Add(uint64(7), value)
	}
	f.Add(uint64(1), []byte{})
	f.Fuzz(func(t *testing.T, first uint64, value []byte) {
		b, err := decodeAudit(first, value)
		if err != nil {
			if !errors.Is(err, engine.ErrCorrupt) {
				t.Fatalf("%v is not ErrCorrupt", err)
			}
			return
		}
		new(auditSpeller).end(&b) // reads all rows
		again := make([]byte, auditFixed+len(b.rows))
		b.put(again)
		if string(again) != string(value) || b.last()+1 != first+uint64(b.count) {
			t.Fatalf("%x became %x", value, again)
		}
	})
}

// cpuTime is what the process has used of all processors: unlike the time on the wall, it does not depend on what else runs.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkAuditedCommit is BenchmarkCommit and BenchmarkCommitArray, with and without rows of publishes.
func BenchmarkAuditedCommit(b *testing.B) {
	for _, tt := range []struct{ callers, events int }{{1, 1}, {64, 1}, {1, 100}} {
		for _, rows := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/events=%d/rows=%v", tt.callers, tt.events, rows), func(b *testing.B) {
				e := open(b, Options{Audit: Audit{Publishes: rows}})
				drain(b, e)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				began := cpuTime(b)
				var wg sync.WaitGroup
				for range tt.callers {
					wg.Go(func() {
						events := make([]roxy.Event, tt.events)
						for int(next.Add(1)) <= b.N {
							for i := range events {
								events[i] = benchEvent(b, i)
								events[i].Correlation = "table-12"
							}
							if _, err := e.Commit(context.Background(), "bar", events); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N*tt.events)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N*tt.events), "cpu-ns/event")
			})
		}
	}
}

// BenchmarkAudited scans a trail of a million rows for the ten of one correlation, and for the rows of a pattern.
func BenchmarkAudited(b *testing.B) {
	e := open(b, Options{})
	const n, block = 1_000_000, 20
	for i := 0; i < n; i += block {
		rows := make([]roxy.AuditRow, block)
		for j := range rows {
			rows[j] = roxy.AuditRow{
				Kind: roxy.AuditPublish, User: fmt.Sprint("u", (i+j)%100), Topic: fmt.Sprint("orders/", (i+j)%1000), Type: "order:new",
				Correlation: fmt.Sprint("c", (i+j)%100_000), Event: roxy.Cursor{Epoch: "k3x9abcdefghi", Offset: uint64(i + j)}.String(),
			}
		}
		if err := e.Note(context.Background(), "bar", rows); err != nil {
			b.Fatal(err)
		}
	}
	pattern, err := roxy.ParsePattern("*/77")
	if err != nil {
		b.Fatal(err)
	}
	for name, query := range map[string]engine.AuditQuery{
		"correlation": {Correlation: "c4711"}, "pattern": {Topic: pattern}, "everything": {}, "newest 100": {After: n - 100},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				found := 0
				for _, err := range e.Audited(context.Background(), "bar", query) {
					if err != nil {
						b.Fatal(err)
					}
					found++
				}
				b.ReportMetric(float64(found), "rows/op")
			}
		})
	}
}
