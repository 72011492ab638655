package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// corruptible writes a store of 40 arrays of 50 events, the first half of them in tables, and returns a copy of its
// files as a crash leaves them.
func corruptible(t *testing.T) (files map[string][]byte, arrays, size int) {
	t.Helper()
	arrays, size = 40, 50
	dir := t.TempDir()
	e := openAt(t, dir, Options{MinFree: 1 << 20})
	for n := range arrays {
		events := make([]roxy.Event, size)
		for i := range events {
			events[i] = event(t, fmt.Sprintf("orders/%d", i%7), fmt.Sprintf("%d-%d", n, i))
		}
		if _, err := e.Commit(t.Context(), "bar", events); err != nil {
			t.Fatal(err)
		}
		if n == arrays/2 {
			if err := e.db.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	files = map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); name != ballastName && name != "LOCK" {
			b, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = b
		}
	}
	return files, arrays, size
}

// served is what readers get of a store: the log and one topic of it up to the first error, and that error.
func served(t *testing.T, dir string, topic roxy.Topic) (log, onTopic []roxy.Event, err error) {
	t.Helper()
	e, err := Open(dir, Options{MinFree: 1 << 20})
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	for events, query := range map[*[]roxy.Event]engine.Query{&log: {}, &onTopic: {Topics: []roxy.Topic{topic}}} {
		for ev, readErr := range e.Read(t.Context(), "bar", query) {
			if readErr != nil {
				err = errors.Join(err, readErr)
				break
			}
			*events = append(*events, ev)
		}
	}
	return log, onTopic, err
}

func TestAFlippedBitIsReportedAndNeverServed(t *testing.T) {
	files, arrays, size := corruptible(t)
	rng := rand.New(rand.NewPCG(20261123, 2))
	topic := event(t, "orders/3", "").Topic
	reported := map[string]int{}
	for name, content := range files {
		kind := strings.TrimLeft(filepath.Ext(name), ".")
		if strings.HasPrefix(name, "MANIFEST") {
			kind = "MANIFEST"
		}
		if kind != "sst" && kind != "log" && kind != "MANIFEST" || len(content) == 0 {
			continue
		}
		for range 15 {
			dir := t.TempDir()
			for other, b := range files {
				if err := os.WriteFile(filepath.Join(dir, other), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			at, bit := rng.IntN(len(content)), byte(1)<<rng.IntN(8)
			flipped := append([]byte(nil), content...)
			flipped[at] ^= bit
			if err := os.WriteFile(filepath.Join(dir, name), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			where := fmt.Sprintf("%s byte %d of %d bit %08b", name, at, len(content), bit)
			log, onTopic, err := served(t, dir, topic)
			for i, ev := range log {
				if ev.Offset != uint64(i)+1 {
					t.Fatalf("%s: event %d in the place of %d", where, ev.Offset, i+1)
				}
			}
			for _, ev := range slices.Concat(log, onTopic) {
				i := int(ev.Offset) - 1
				if want := event(t, fmt.Sprintf("orders/%d", i%size%7), fmt.Sprintf("%d-%d", i/size, i%size)); ev.ID != want.ID ||
					ev.Topic != want.Topic || string(ev.Data) != string(want.Data) {
					t.Fatalf("%s: served %+v", where, ev)
				}
			}
			switch {
			case err == nil:
				if len(log) != arrays*size || len(onTopic) != arrays*((size+3)/7) {
					t.Errorf("%s: %d events, %d on the topic, and no error", where, len(log), len(onTopic))
				}
			case errors.Is(err, engine.ErrCorrupt):
				reported[kind]++
			default:
				t.Errorf("%s: reported as %v, want ErrCorrupt", where, err)
			}
		}
	}
	for _, kind := range []string{"sst", "log", "MANIFEST"} {
		if reported[kind] == 0 {
			t.Errorf("no flip in a %s file was noticed", kind)
		}
	}
	t.Logf("reported: %v", reported)
}

func TestAStoreThatLostAcknowledgedCommitsIsNotOpened(t *testing.T) {
	files, _, _ := corruptible(t)
	dir := t.TempDir()
	for name, b := range files {
		if strings.HasSuffix(name, ".log") {
			b = b[:len(b)*9/10] // a torn end, as far as Pebble can tell
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(dir, Options{MinFree: 1 << 20}); !errors.Is(err, engine.ErrCorrupt) {
		t.Fatalf("opened with %v, want ErrCorrupt", err)
	}
	// The operator accepts the loss: old cursors must not be taken for new ones.
	if err := os.Remove(filepath.Join(dir, ackedName)); err != nil {
		t.Fatal(err)
	}
	whole := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(whole, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	before, err := openAt(t, whole, Options{MinFree: 1 << 20}).Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	after, err := openAt(t, dir, Options{MinFree: 1 << 20}).Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	if after.Epoch == before.Epoch || after.Head >= before.Head || after.Head == 0 {
		t.Errorf("bounds %+v of what was %+v", after, before)
	}
}
