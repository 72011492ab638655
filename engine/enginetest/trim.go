package enginetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func trimLaws() []law[TrimmableLog] {
	return []law[TrimmableLog]{
		{"what was trimmed is gone and the head stays", trimmedIsGone},
		{"trimming everything keeps counting", trimEverything},
		{"trimming twice or less changes nothing", trimAgain},
		{"trimming a tenant leaves the others", trimLeavesOthers},
		{"a reader that is overtaken is told", overtakenReader},
		{"a key whose event was trimmed is still known", trimmedKey},
		{"a tail yields what was trimmed before it came", tailAfterTrim},
		{"commits and reads go on while trimming", trimUnderLoad},
	}
}

func trim(t testing.TB, log TrimmableLog, tenant string, offset uint64) {
	t.Helper()
	if err := log.Trim(t.Context(), tenant, offset); err != nil {
		t.Fatalf("trim up to %d: %v", offset, err)
	}
}

// eachWay runs check with a query of everything and one of all topics by name.
func eachWay(t *testing.T, check func(t *testing.T, topics []roxy.Topic)) {
	t.Helper()
	t.Run("scan", func(t *testing.T) { check(t, nil) })
	t.Run("by topic", func(t *testing.T) { check(t, []roxy.Topic{mustTopic(t, "a"), mustTopic(t, "b")}) })
}

func trimmedIsGone(t *testing.T, log TrimmableLog) {
	commit(t, log, "bar", newEvents(t, "a", 60)...)
	commit(t, log, "bar", newEvents(t, "b", 40)...)
	trim(t, log, "bar", 30)
	b := bounds(t, log, "bar")
	if b.First != 31 || b.Head != 100 {
		t.Errorf("bounds %+v, want 31 to 100", b)
	}
	eachWay(t, func(t *testing.T, topics []roxy.Topic) {
		wantOffsets(t, readAll(t, log, "bar", engine.Query{After: 30, Topics: topics}), numbers(31, 100))
		wantOffsets(t, readAll(t, log, "bar", engine.Query{After: 99, Topics: topics}), numbers(100, 100))
		for _, after := range []uint64{0, 1, 29} {
			if err := readError(t, log, "bar", engine.Query{After: after, Topics: topics}); !errors.Is(err, engine.ErrTrimmed) {
				t.Errorf("read after %d: %v, want ErrTrimmed", after, err)
			}
		}
	})
}

func trimEverything(t *testing.T, log TrimmableLog) {
	commit(t, log, "bar", newEvents(t, "a", 10)...)
	epoch := bounds(t, log, "bar").Epoch
	trim(t, log, "bar", 1000) // beyond the head is the head
	if got, want := bounds(t, log, "bar"), (engine.Bounds{Epoch: epoch, First: 11, Head: 10}); got != want {
		t.Errorf("bounds %+v, want %+v", got, want)
	}
	eachWay(t, func(t *testing.T, topics []roxy.Topic) {
		if got := readAll(t, log, "bar", engine.Query{After: 10, Topics: topics}); len(got) != 0 {
			t.Errorf("%v is still there", offsetsOf(got))
		}
	})
	r := commit(t, log, "bar", newEvent(t, "a", ""))
	if r.Entries[0].Offset != 11 || r.Epoch != epoch {
		t.Errorf("the next event stands at %+v of %s", r.Entries[0], r.Epoch)
	}
	wantOffsets(t, readAll(t, log, "bar", engine.Query{After: 10}), numbers(11, 11))
}

func trimAgain(t *testing.T, log TrimmableLog) {
	commit(t, log, "bar", newEvents(t, "a", 10)...)
	for _, offset := range []uint64{5, 5, 3, 0} {
		trim(t, log, "bar", offset)
		if b := bounds(t, log, "bar"); b.First != 6 || b.Head != 10 {
			t.Errorf("bounds %+v after trimming up to %d", b, offset)
		}
	}
	trim(t, log, "nobody", 5)
}

func trimLeavesOthers(t *testing.T, log TrimmableLog) {
	for _, tenant := range []string{"ba", "bar", "bar2"} {
		commit(t, log, tenant, newEvents(t, "a", 10)...)
	}
	trim(t, log, "bar", 10)
	for _, tenant := range []string{"ba", "bar2"} {
		for _, topics := range [][]roxy.Topic{nil, {mustTopic(t, "a")}} {
			wantOffsets(t, readAll(t, log, tenant, engine.Query{Topics: topics}), numbers(1, 10))
		}
	}
}

func overtakenReader(t *testing.T, log TrimmableLog) {
	const n = 5000
	var trimmed uint64
	for i := range n / 500 {
		commit(t, log, "bar", newEvents(t, "ab"[i%2:i%2+1], 500)...)
	}
	eachWay(t, func(t *testing.T, topics []roxy.Topic) {
		after := trimmed
		trimmed += 2000
		last, ended := after, error(nil)
		for ev, err := range log.Read(t.Context(), "bar", engine.Query{After: after, Topics: topics}) {
			if err != nil {
				ended = err
				break
			}
			if ev.Offset != last+1 {
				t.Fatalf("event %d after %d", ev.Offset, last)
			}
			last = ev.Offset
			if last == after+1 {
				trim(t, log, "bar", trimmed)
			}
		}
		if !errors.Is(ended, engine.ErrTrimmed) {
			t.Errorf("overtaken at %d of %d, the reader ended at %d with %v", after+1, trimmed, last, ended)
		}
	})
}

func trimmedKey(t *testing.T, log TrimmableLog) {
	ev := newEvent(t, "a", "key")
	commit(t, log, "bar", ev)
	trim(t, log, "bar", 1)
	if r := commit(t, log, "bar", ev); r.Entries[0] != (engine.Entry{Offset: 1, Duplicate: true}) {
		t.Errorf("the repetition stands at %+v", r.Entries[0])
	}
}

func tailAfterTrim(t *testing.T, log TrimmableLog) {
	tail := log.Tail()
	defer tail.Close()
	commit(t, log, "bar", newEvents(t, "a", 10)...)
	trim(t, log, "bar", 10)
	wantOffsets(t, next(t, tail, 10), numbers(1, 10))
}

func trimUnderLoad(t *testing.T, log TrimmableLog) {
	commit(t, log, "bar", newEvents(t, "a", 100)...)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 30 {
				if _, err := log.Commit(t.Context(), "bar", newEvents(t, "b", 20)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			b, err := log.Bounds(t.Context(), "bar")
			if err == nil && b.Head > 50 {
				err = log.Trim(t.Context(), "bar", b.Head-50)
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	for _, topics := range [][]roxy.Topic{nil, {mustTopic(t, "a"), mustTopic(t, "b")}} {
		wg.Go(func() {
			for range 200 {
				b, err := log.Bounds(t.Context(), "bar")
				if err != nil {
					t.Error(err)
					return
				}
				last := b.First - 1
				for ev, err := range log.Read(t.Context(), "bar", engine.Query{After: last, Topics: topics}) {
					if errors.Is(err, engine.ErrTrimmed) {
						break
					}
					if err != nil || ev.Offset != last+1 {
						t.Errorf("event %d after %d: %v", ev.Offset, last, err)
						return
					}
					last = ev.Offset
				}
			}
		})
	}
	wg.Wait()
	if b := bounds(t, log, "bar"); b.Head != 100+4*30*20 {
		t.Errorf("head %d", b.Head)
	}
}
