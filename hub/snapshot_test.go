package hub

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

// fillOrders puts n entities orders/00000 and so on, each of about so many bytes.
func (f fixture) fillOrders(t testing.TB, by roxy.Identity, n, size int) {
	t.Helper()
	data := fmt.Sprintf(`{"a":%q}`, strings.Repeat("x", size))
	for from := 0; from < n; from += 500 {
		var batch []roxy.Mutation
		for i := from; i < min(n, from+500); i++ {
			batch = append(batch, put(t, fmt.Sprintf("orders/%05d", i), data))
		}
		f.mutate(t, by, batch...)
	}
}

// cursors are those that lines, spelled by markedEncoding, move a client to, with the type of what did.
func cursors(lines []string) (at []string) {
	for _, l := range lines {
		fields := strings.SplitN(l, " ", 4)
		switch {
		case fields[0] == "C" && fields[2] != "@":
			at = append(at, fields[1]+fields[2])
		case fields[0] == "E" && fields[1] != "0":
			at = append(at, fields[2]+"@"+fields[1])
		}
	}
	return at
}

func kindsOf(lines []string) (all []string) {
	for _, l := range lines {
		fields := strings.SplitN(l, " ", 4)
		if fields[0] == "E" {
			all = append(all, fields[2])
		} else {
			all = append(all, fields[1])
		}
	}
	return all
}

func orders(t testing.TB, who roxy.Identity) Subscription {
	t.Helper()
	return Subscription{Identity: who, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Snapshot: true}
}

func TestSnapshotIsReadOnceForAllStreamsThatBeginTogether(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 1000, 100)
	const streams = 50
	var recorders []*recorder
	for range streams {
		r, _ := f.subscribe(t, orders(t, me))
		recorders = append(recorders, r)
	}
	for _, r := range recorders {
		r.awaitLine(t, "C roxy:live")
		if got := replay(r.lines()); got.err != nil || got.entities != 1000 || len(got.held) != 1000 {
			t.Fatalf("a stream has %d entities of %d, %v", len(got.held), got.entities, got.err)
		}
	}
	s := f.Stats()
	const sheets = 4 // of 256
	if s.SheetsRead+s.SheetsShared != streams*sheets || s.EntitiesOut != streams*1000 {
		t.Errorf("%d read and %d shared, %d entities", s.SheetsRead, s.SheetsShared, s.EntitiesOut)
	}
	if s.SheetsRead > streams*sheets/5 { // they are read anew once a second
		t.Errorf("%d sheets were read for %d streams", s.SheetsRead, streams)
	}
}

// What is kept for other streams has a bound, however large the snapshot is.
func TestSnapshotIsHeldBySheets(t *testing.T) {
	f := startQuick(t, Options{CommitTimeout: time.Minute})
	me := all(t, "bar", "u1")
	const n, size = 3000, 8 << 10
	f.fillOrders(t, me, n, size)
	most := 0
	sink := &forgetful{wrote: func(int) {
		f.snapshots.mu.Lock()
		defer f.snapshots.mu.Unlock()
		most = max(most, f.snapshots.bytes)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sink.until, sink.done = `"entities":3000`, cancel
	sub := orders(t, me)
	sub.Encoding, sub.Transport, sub.Heartbeat = lineEncoding{}, "test", time.Minute
	if err := f.Subscribe(ctx, sub, sink); err != nil {
		t.Fatal(err)
	}
	if sink.bytes < n*size {
		t.Fatalf("only %d bytes came", sink.bytes)
	}
	if most == 0 || most > sheetsKept {
		t.Errorf("%d bytes of sheets were kept for a snapshot of %d", most, sink.bytes)
	}
}

// forgetful is a way out that keeps nothing.
type forgetful struct {
	writes, bytes int
	wrote         func(writes int)
	until         string // in what is written, calls done
	done          func()
}

func (s *forgetful) Write(p []byte) error {
	s.writes++
	s.bytes += len(p)
	s.wrote(s.writes)
	if strings.Contains(string(p[:min(len(p), 1000)]), s.until) {
		s.done()
	}
	return nil
}

func (*forgetful) SetDeadline(time.Time) {}

func TestCursorThatCanBeReplayedNeedsNoSnapshot(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 3, 1)
	sub := orders(t, me)
	sub.Encoding = markedEncoding{}
	sub.After = &roxy.Cursor{Epoch: f.epoch(t), Offset: 1}
	r, _ := f.subscribe(t, sub)
	live := r.awaitLine(t, "C roxy:live")
	if got, want := kindsOf(r.lines()), []string{"roxy:hello", "entity:created", "entity:created", "roxy:live"}; !slices.Equal(got, want) {
		t.Errorf("got %s", got)
	}
	if strings.Contains(live, "entities") || !strings.Contains(r.lines()[0], "roxy:hello @"+sub.After.String()) {
		t.Errorf("got %s\nand %s", r.lines()[0], live)
	}
}

func (f fixture) epoch(t *testing.T) string {
	t.Helper()
	b, err := f.engine.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	return b.Epoch
}

// Who is cut off before the end comes back to all of it: nothing before it says where to go on from.
func TestNothingBeforeTheEndOfASnapshotHasACursor(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 3, 1)
	if err := f.engine.Trim(t.Context(), "bar", 2); err != nil {
		t.Fatal(err)
	}
	entities := []string{"roxy:entity", "roxy:entity", "roxy:entity"}
	reset := slices.Concat([]string{"roxy:hello", "roxy:reset"}, entities, []string{"roxy:live"})
	for name, tt := range map[string]struct {
		after *roxy.Cursor
		want  []string
	}{
		"from now on":           {nil, slices.Concat([]string{"roxy:hello"}, entities, []string{"roxy:live"})},
		"behind another life":   {&roxy.Cursor{Epoch: "other", Offset: 3}, reset},
		"behind what is gone":   {&roxy.Cursor{Epoch: f.epoch(t), Offset: 1}, reset},
		"behind what never was": {&roxy.Cursor{Epoch: f.epoch(t), Offset: 9}, reset},
	} {
		t.Run(name, func(t *testing.T) {
			sub := orders(t, me)
			sub.Encoding, sub.After = markedEncoding{}, tt.after
			r, stop := f.subscribe(t, sub)
			live := r.awaitLine(t, "C roxy:live")
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			lines := r.lines()
			if got := kindsOf(lines); !slices.Equal(got, tt.want) {
				t.Errorf("got %s", got)
			}
			if got := cursors(lines); len(got) != 1 || got[0] != "roxy:live@"+f.epoch(t)+".3" || !strings.Contains(live, `"replayed":0,"entities":3}`) {
				t.Errorf("the client was moved by %s", got)
			}
			if hello := lines[0]; strings.Contains(hello, `"cursor"`) != (tt.after != nil) {
				t.Error(hello)
			}
		})
	}
}

func TestSnapshotOfNothingIsToldAsOne(t *testing.T) {
	f := startQuick(t, Options{})
	r, _ := f.subscribe(t, orders(t, all(t, "bar", "u1")))
	if live := r.awaitLine(t, "C roxy:live"); !strings.Contains(live, `"entities":0`) {
		t.Error(live)
	}
}

func TestHeartbeatWithinASnapshotHasNoCursor(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 600, 1)
	sub := orders(t, me)
	sub.Encoding, sub.Heartbeat = markedEncoding{}, time.Nanosecond // after each write
	r, stop := f.subscribe(t, sub)
	r.awaitLine(t, "C roxy:live")
	_ = stop()
	lines := r.lines()
	end := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "C roxy:live") })
	beats := slices.DeleteFunc(kindsOf(lines[:end]), func(kind string) bool { return kind != "roxy:heartbeat" })
	if got := cursors(lines[:end]); len(beats) < 2 || len(got) > 0 {
		t.Errorf("%d heartbeats; the client was moved by %s", len(beats), got)
	}
}

func TestStreamThatIsCutInASnapshotComesBackToAWholeOne(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 2000, 100)
	sub := orders(t, me)
	sub.Encoding = markedEncoding{}
	sink := &breaking{after: 3}
	sub.Transport, sub.Heartbeat = "test", time.Minute
	if err := f.Subscribe(t.Context(), sub, sink); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(sink.text), "\n"), "\n")
	if got := cursors(lines); len(got) > 0 || len(lines) < 300 || len(lines) > 1999 {
		t.Fatalf("%d lines moved the client by %s", len(lines), got)
	}
	r, _ := f.subscribe(t, orders(t, me))
	r.awaitLine(t, "C roxy:live")
	if got := replay(r.lines()); got.entities != 2000 {
		t.Errorf("%d entities", got.entities)
	}
}

// breaking is a way out that ends after some writes.
type breaking struct {
	after int
	text  []byte
}

func (s *breaking) Write(p []byte) error {
	if s.after--; s.after < 0 {
		return net.ErrClosed
	}
	s.text = append(s.text, p...)
	return nil
}

func (*breaking) SetDeadline(time.Time) {}

// The stream is held while its queue overflows and retention passes what it has not read.
func TestStreamThatRetentionOvertakesHasAnotherSnapshotAndIsLiveAgain(t *testing.T) {
	f := startQuick(t, Options{QueueEvents: 3})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 2, 1)
	sub := orders(t, me)
	sub.Encoding = markedEncoding{}
	r, _ := f.subscribe(t, sub)
	r.awaitLine(t, "C roxy:live")
	letGo := r.hold()
	var batch []roxy.Mutation
	for i := range 20 {
		batch = append(batch, put(t, "orders/00001", fmt.Sprintf(`{"n":%d}`, i)))
	}
	f.mutate(t, me, batch[0])
	<-r.waiting // what comes now waits behind it
	head := f.mutate(t, me, batch[1:]...)[18].Cursor
	shard := f.shardOf("bar")
	bar := shard.open("bar")
	defer shard.close(bar)
	if err := shard.reached(t.Context(), bar, head.Offset, nil); err != nil { // all of it is in the queue, and too much for it
		t.Fatal(err)
	}
	if err := f.engine.Trim(t.Context(), "bar", head.Offset); err != nil {
		t.Fatal(err)
	}
	letGo()
	lines := r.await(t, "a second live", func(lines []string) bool { return replay(lines).live == 2 })
	second := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "C roxy:reset") })
	if second < 0 {
		t.Fatalf("no reset: %s", kindsOf(lines))
	}
	if got, want := kindsOf(lines[second:]), []string{"roxy:reset", "roxy:entity", "roxy:entity", "roxy:live"}; !slices.Equal(got, want) {
		t.Errorf("got %s", got)
	}
	if got := cursors(lines[second:]); len(got) != 1 || got[0] != "roxy:live@"+head.String() {
		t.Errorf("the client was moved by %s", got)
	}
	f.mutate(t, me, put(t, "orders/00001", `{"n":20}`))
	r.awaitLine(t, fmt.Sprintf("E %d entity:updated", head.Offset+1))
	if got := replay(r.lines()); got.err != nil || got.resets != 1 || got.held["orders/00001"].version != 22 {
		t.Errorf("got %+v", got)
	}
}

// The snapshot of the second before is of no use any more, since what came behind it is gone.
func TestSnapshotThatRetentionHasPassedServesNobody(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	f.fillOrders(t, me, 3, 1)
	first, _ := f.subscribe(t, orders(t, me))
	first.awaitLine(t, "C roxy:live")
	f.fillOrders(t, me, 5, 1)
	if err := f.engine.Trim(t.Context(), "bar", 7); err != nil {
		t.Fatal(err)
	}
	r, _ := f.subscribe(t, orders(t, me))
	r.awaitLine(t, "C roxy:live")
	if got := replay(r.lines()); got.entities != 5 || got.resets != 0 || got.live != 1 {
		t.Errorf("got %+v", got)
	}
}

// Streams that are in a snapshot when the hub closes, or come just then, keep nothing of the engine open: it says so when it
// is closed.
func TestCloseInTheMiddleOfSnapshotsLeavesNoneOpen(t *testing.T) {
	for round := range 12 {
		e, err := disk.Open("data", disk.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		h, err := Start(t.Context(), e, Options{})
		if err != nil {
			t.Fatal(err)
		}
		f := fixture{h, e}
		me := all(t, "bar", "u1")
		f.fillOrders(t, me, 600, 10)
		var streams sync.WaitGroup
		for i := range 8 {
			streams.Go(func() {
				time.Sleep(time.Duration(i*round) * 50 * time.Microsecond) // when they come makes no difference
				sub := orders(t, me)
				sub.Encoding, sub.Transport, sub.Heartbeat = lineEncoding{}, "test", time.Minute
				_ = f.Subscribe(context.Background(), sub, newRecorder()) // refused, or told to go
			})
		}
		time.Sleep(time.Duration(round) * 100 * time.Microsecond)
		hurry, cancel := context.WithCancel(t.Context())
		if cancel(); round%2 == 0 {
			_ = h.Close(hurry) // it does not wait for its streams
			streams.Wait()
		} else if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
		streams.Wait()
		if err := e.Close(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}
