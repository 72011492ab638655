package enginetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func settlementLaws() []law[Attentive] {
	return []law[Attentive]{
		{"attempts come when they are due, and are counted", attemptsAreCounted},
		{"whoever comes second advances nothing", advancedOnce},
		{"behind its time to live an event is given up", givenUpAtTTL},
		{"a dead letter names who was missed", deadLetterNames},
		{"a dead letter stands behind its call and inside nobody's", deadLetterPlaces},
		{"retention gives up what is open", retentionGivesUp},
		{"open events are told of all tenants, in order", openOfAllTenants},
		{"every critical event ends once", endsOnce},
	}
}

// letters returns the dead letters of the tenant, by the offset of the event that each is of.
func letters(t testing.TB, e Attentive) map[uint64]engine.DeadLetter {
	t.Helper()
	found := make(map[uint64]engine.DeadLetter)
	for _, ev := range readAll(t, e, "bar", engine.Query{After: bounds(t, e, "bar").First - 1, Topics: []roxy.Topic{mustTopic(t, roxy.DeadLetters)}}) {
		letter, err := engine.ReadDeadLetter(&ev)
		if err != nil {
			t.Fatal(err)
		}
		of, err := roxy.ParseCursor(letter.Event)
		if err != nil || ev.Type != roxy.UnackedType {
			t.Fatalf("%s %+v: %v", ev.Type, letter, err)
		}
		if first, twice := found[of.Offset]; twice {
			t.Errorf("event %d has two dead letters: %+v, %+v", of.Offset, first, letter)
		}
		found[of.Offset] = letter
	}
	return found
}

// advance advances what is open as far as it is due.
func advance(t testing.TB, e Attentive) (advanced []engine.Critical) {
	t.Helper()
	due := slices.DeleteFunc(open(t, e)["bar"], func(o engine.OpenAck) bool { return o.Due.After(time.Now()) })
	advanced, err := e.Advance(t.Context(), "bar", due)
	if err != nil {
		t.Fatal(err)
	}
	return advanced
}

func attemptsAreCounted(t *testing.T, e Attentive) {
	team(t, e)
	ev := newCritical(t, roxy.AckAny)
	ev.Ack.Within, ev.Ack.Attempts = time.Minute, 8
	offset := commitCritical(t, e, ev)
	began := time.Now()
	for attempt := 1; attempt < ev.Ack.Attempts; attempt++ {
		c := critical(t, e, offset)
		if c.Attempt != attempt || c.Settlement != "" {
			t.Fatalf("%+v, want attempt %d", c, attempt)
		}
		wait := min(time.Minute<<(attempt-1), 10*time.Minute)
		if got := c.Due.Sub(began); got < wait || got > wait+wait/5 || attempt == 1 && got != wait {
			t.Errorf("attempt %d may take %s, want %s and a fifth at most", attempt, got, wait)
		}
		time.Sleep(time.Until(c.Due) - 1)
		if early := advance(t, e); len(early) != 0 {
			t.Fatalf("%+v before it was due", early)
		}
		time.Sleep(time.Nanosecond)
		began = time.Now()
		if got := advance(t, e); len(got) != 1 || got[0].Offset != offset || got[0].Attempt != attempt+1 || len(got[0].Missing()) != 4 {
			t.Fatalf("%+v, want attempt %d for all", got, attempt+1)
		}
	}
	time.Sleep(time.Hour)
	got := advance(t, e)
	if len(got) != 1 || got[0].Settlement != roxy.Unacked || got[0].Reason != roxy.UnackedAttempts || got[0].Attempt != 8 || !got[0].Settled.Equal(time.Now()) {
		t.Errorf("%+v, want it given up", got)
	}
	if c := critical(t, e, offset); c.Settlement != roxy.Unacked || len(open(t, e)) != 0 {
		t.Errorf("%+v", c)
	}
	if letter := letters(t, e)[offset]; letter.Reason != roxy.UnackedAttempts {
		t.Errorf("%+v", letter)
	}
	wantStatuses(t, "behind the end", confirm(t, e, "ann-1", "ann", offset), roxy.AckLate)
}

func advancedOnce(t *testing.T, e Attentive) {
	team(t, e)
	for range 20 {
		commitCritical(t, e, newCritical(t, roxy.AckAny))
	}
	confirm(t, e, "ann-1", "ann", 5)
	due := make([]engine.OpenAck, 20, 40)
	for i := range due {
		due[i] = engine.OpenAck{Offset: uint64(i) + 1, Attempt: 1}
	}
	due = slices.Concat(due, due)
	var mu sync.Mutex
	times := make(map[uint64]int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			advanced, err := e.Advance(t.Context(), "bar", due)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, c := range advanced {
				times[c.Offset]++
			}
		})
	}
	wg.Wait()
	for offset := range uint64(20) {
		want := 1
		if offset+1 == 5 {
			want = 0
		}
		if c := critical(t, e, offset+1); times[offset+1] != want || c.Attempt != 1+want {
			t.Errorf("%d was advanced %d times and stands at attempt %d", offset+1, times[offset+1], c.Attempt)
		}
	}
}

func givenUpAtTTL(t *testing.T, e Attentive) {
	team(t, e)
	ev := newCritical(t, roxy.AckAny)
	ev.Ack.Attempts, ev.TTL = 20, 25*time.Second
	offset := commitCritical(t, e, ev)
	began := time.Now()
	for range 20 {
		o := open(t, e)["bar"]
		if len(o) == 0 {
			break
		}
		time.Sleep(time.Until(o[0].Due))
		advance(t, e)
	}
	c := critical(t, e, offset)
	if c.Settlement != roxy.Unacked || c.Reason != roxy.UnackedTTL || c.Settled.Sub(began) != ev.TTL || c.Attempt != 2 {
		t.Errorf("%+v began at %s, want it given up %s later", c, began, ev.TTL)
	}
	// One whose first attempt would take longer than it lives.
	ev.TTL = time.Second
	if c := critical(t, e, commitCritical(t, e, ev)); time.Until(c.Due) != time.Second {
		t.Errorf("due at %s", c.Due)
	}
}

func deadLetterNames(t *testing.T, e Attentive) {
	team(t, e)
	ev := newCritical(t, roxy.AckUser)
	ev.Ack.Attempts, ev.To, ev.Correlation = 1, roxy.Audience{Users: []string{"ann", "dan"}}, "table-4"
	offset := commitCritical(t, e, ev)
	confirm(t, e, "ann-2", "ann", offset)
	time.Sleep(time.Minute)
	advance(t, e)
	all := readAll(t, e, "bar", engine.Query{After: offset})
	if len(all) != 1 || all[0].Correlation != "table-4" || all[0].Ack != nil || all[0].By != "" {
		t.Fatalf("%+v, want a dead letter", all)
	}
	letter := letters(t, e)[offset]
	if letter.By != ev.By || letter.Topic != "calls/1" || letter.Type != "call" || letter.Reason != roxy.UnackedAttempts || letter.Targets != 2 || letter.Attempt != 1 {
		t.Errorf("%+v", letter)
	}
	if got := fmt.Sprint(letter.Confirmed, letter.Unconfirmed); got != "[{ann-2 ann}] [{ann-1 ann} { dan}]" {
		t.Errorf("confirmed and not: %s", got)
	}
}

func deadLetterPlaces(t *testing.T, e Attentive) {
	nobody := newCritical(t, roxy.AckAny)
	r := commit(t, e, "bar", newEvent(t, "orders/1", "a"), nobody, nobody, newEvent(t, "orders/1", "b"))
	for i, entry := range r.Entries {
		if entry.Offset != uint64(i)+1 {
			t.Errorf("entry %d stands at %d", i, entry.Offset)
		}
	}
	dead := letters(t, e)
	if len(dead) != 2 || dead[2].Reason != roxy.UnackedNoAudience || dead[3].Reason != roxy.UnackedNoAudience {
		t.Errorf("%+v, want letters of 2 and 3", dead)
	}
	if got := bounds(t, e, "bar").Head; got != 6 {
		t.Errorf("head %d, want 6", got)
	}
	if c := critical(t, e, 2); c.Settlement != roxy.Unacked || c.Reason != roxy.UnackedNoAudience || len(open(t, e)) != 0 {
		t.Errorf("%+v", c)
	}
	// Many at once: each is told where its own events stand, and a tail has what the log has.
	tail := e.Tail()
	defer tail.Close()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			events := []roxy.Event{newEvent(t, "orders/2", fmt.Sprint("x-", i)), nobody, newEvent(t, "orders/2", fmt.Sprint("y-", i))}
			events[1].ID, events[1].Type = fmt.Sprint("n-", i), fmt.Sprint("n-", i)
			r, err := e.Commit(t.Context(), "bar", events)
			if err != nil {
				t.Error(err)
				return
			}
			for j := range events {
				for ev, err := range e.Read(t.Context(), "bar", engine.Query{After: r.Entries[j].Offset - 1, Until: r.Entries[j].Offset}) {
					if err != nil || ev.ID != events[j].ID {
						t.Errorf("%s stands where %s was to be: %v", ev.ID, events[j].ID, err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := len(letters(t, e)); got != 34 {
		t.Errorf("%d letters, want 34", got)
	}
	want := readAll(t, e, "bar", engine.Query{After: 6})
	wantOffsets(t, want, numbers(7, 6+32*4))
	wantOffsets(t, next(t, tail, len(want)), offsetsOf(want))
	if r := commit(t, e, "bar", newEvent(t, "orders/1", "b")); r.Entries[0] != (engine.Entry{Offset: 4, Duplicate: true}) {
		t.Errorf("the repetition of a key stands at %+v", r.Entries[0])
	}
}

func retentionGivesUp(t *testing.T, e Attentive) {
	team(t, e)
	a := commitCritical(t, e, newCritical(t, roxy.AckAny))
	b := commitCritical(t, e, newCritical(t, roxy.AckAny))
	confirm(t, e, "ann-1", "ann", b)
	c := commitCritical(t, e, newCritical(t, roxy.AckAny))
	commit(t, e, "bar", newEvents(t, "calls/1", 3)...)
	trim(t, e, "bar", c-1)
	for _, offset := range []uint64{a, b} {
		_, err := e.Critical(t.Context(), "bar", offset)
		wantMember(t, err, roxy.NotFound, "cursor")
	}
	if got := open(t, e)["bar"]; len(got) != 1 || got[0].Offset != c {
		t.Errorf("open %+v, want %d", got, c)
	}
	if dead := letters(t, e); len(dead) != 1 || dead[a].Reason != roxy.UnackedRetention {
		t.Errorf("%+v, want a letter of %d", dead, a)
	}
	wantOffsets(t, readAll(t, e, "bar", engine.Query{After: c - 1}), numbers(c, 7))
	trim(t, e, "bar", 1000) // everything: the letters of what is given up by this are what is left
	b2 := bounds(t, e, "bar")
	if b2.First != 8 || b2.Head != 8 || letters(t, e)[c].Reason != roxy.UnackedRetention || len(open(t, e)) != 0 {
		t.Errorf("bounds %+v, open %+v, letters %+v", b2, open(t, e), letters(t, e))
	}
	if r := register(t, e, "bar", newDevice(t, "ann-1", "ann", "calls/*")); len(r.Open) != 0 {
		t.Errorf("%+v is offered", r.Open)
	}
}

func openOfAllTenants(t *testing.T, e Attentive) {
	if got := open(t, e); len(got) != 0 {
		t.Errorf("%+v in an empty engine", got)
	}
	for _, tenant := range []string{"ba", "bar", "bar2"} {
		register(t, e, tenant, newDevice(t, "ann-1", "ann", "calls/*"))
		commit(t, e, tenant, newCritical(t, roxy.AckAny), newEvent(t, "calls/1", ""), newCritical(t, roxy.AckAny))
	}
	commit(t, e, "quiet", newEvent(t, "calls/1", ""))
	confirm(t, e, "ann-1", "ann", 1, 3)
	got := open(t, e)
	if len(got) != 2 {
		t.Errorf("open %+v", got)
	}
	for _, tenant := range []string{"ba", "bar2"} {
		list := got[tenant]
		if len(list) != 2 || list[0].Offset != 1 || list[1].Offset != 3 || list[0].Attempt != 1 || time.Until(list[0].Due) != 10*time.Second {
			t.Errorf("%s: %+v", tenant, list)
		}
	}
}

// endsOnce has devices confirm, hubs advance and retention forget all at once, and holds what everybody was told against
// the log.
func endsOnce(t *testing.T, e Attentive) {
	team(t, e)
	const events = 120
	for i := range events {
		ev := newCritical(t, []roxy.AckBy{roxy.AckAny, roxy.AckUser, roxy.AckDevice}[i%3])
		ev.Ack.Attempts = 1 + i%3
		if i%5 == 0 {
			ev.TTL = 15 * time.Second
		}
		commitCritical(t, e, ev)
	}
	var mu sync.Mutex
	acknowledged, unacked := make(map[uint64]int), make(map[uint64]int)
	var wg sync.WaitGroup
	for n, d := range [][2]string{{"ann-1", "ann"}, {"ann-2", "ann"}, {"bob-1", "bob"}, {"cem-1", "cem"}} {
		rng := rand.New(rand.NewPCG(uint64(n), 7)) //nolint:gosec // a test's dice
		wg.Go(func() {
			for range 150 {
				time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
				said := engine.Acknowledgement{Device: d[0], User: d[1]}
				for range 1 + rng.IntN(2) {
					said.Confirmed = append(said.Confirmed, 1+rng.Uint64N(events))
				}
				out, err := e.Acknowledge(t.Context(), "bar", said)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for i := range out.News {
					if news := &out.News[i]; news.Receipt.Device == "" {
						acknowledged[news.Offset]++
					}
				}
				mu.Unlock()
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for range 200 {
				time.Sleep(500 * time.Millisecond)
				list, err := e.Open(t.Context())
				if err != nil {
					t.Error(err)
				}
				due := slices.DeleteFunc(list["bar"], func(o engine.OpenAck) bool { return o.Due.After(time.Now()) })
				advanced, err := e.Advance(t.Context(), "bar", due)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for i := range advanced {
					if advanced[i].Settlement != "" {
						unacked[advanced[i].Offset]++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	dead := letters(t, e)
	for offset := uint64(1); offset <= events; offset++ {
		c := critical(t, e, offset)
		_, letter := dead[offset]
		ok := c.Settlement == roxy.Acknowledged && acknowledged[offset] == 1 && unacked[offset] == 0 && !letter ||
			c.Settlement == roxy.Unacked && acknowledged[offset] == 0 && unacked[offset] == 1 && letter
		if !ok {
			t.Errorf("event %d ended as %q, was acknowledged %d times, given up %d times, and has a dead letter: %t",
				offset, c.Settlement, acknowledged[offset], unacked[offset], letter)
		}
	}
	if len(acknowledged) == 0 || len(unacked) == 0 {
		t.Errorf("%d acknowledged and %d given up: the dice are loaded", len(acknowledged), len(unacked))
	}
	if len(open(t, e)) != 0 {
		t.Errorf("open %+v", open(t, e))
	}
}
