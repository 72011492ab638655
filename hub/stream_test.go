package hub

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

func TestStreamSaysHelloThenReplaysThenLiveThenTheTail(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	f.publish(t, me, event(t, "orders/1", "1"), event(t, "tables/1", "2"), event(t, "orders/2", "3"))
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Earliest: true})
	r.awaitLine(t, "C roxy:live")
	f.publish(t, me, event(t, "orders/3", "4"), event(t, "tables/3", "5"))
	lines := r.await(t, "three events", func(l []string) bool { o, _ := events(l); return len(o) == 3 })
	var shape []string
	for _, l := range lines {
		words := strings.SplitN(l, " ", 3)
		shape = append(shape, words[0]+" "+words[1])
	}
	if want := []string{"C roxy:hello", "E 1", "E 3", "C roxy:live", "E 4"}; !slices.Equal(shape, want) {
		t.Errorf("got %v, want %v", shape, want)
	}
	if live := r.awaitLine(t, "C roxy:live"); !strings.Contains(live, `"replayed":2`) || !strings.Contains(live, ".3\"") {
		t.Errorf("live: %s", live)
	}
}

func TestStreamFromNowOnGetsNothingOlder(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	f.publish(t, me, event(t, "a", "1"))
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}})
	r.awaitLine(t, "C roxy:live")
	f.publish(t, me, event(t, "a", "2"))
	lines := r.await(t, "an event", func(l []string) bool { o, _ := events(l); return len(o) > 0 })
	if offsets, _ := events(lines); !slices.Equal(offsets, []uint64{2}) {
		t.Errorf("got offsets %v", offsets)
	}
}

func TestCursorThatCannotBeReplayedGivesAReset(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	for i := range 10 {
		f.publish(t, me, event(t, "a", fmt.Sprint(i)))
	}
	if err := f.engine.Trim(t.Context(), "bar", 5); err != nil {
		t.Fatal(err)
	}
	bounds, err := f.engine.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		after  roxy.Cursor
		reason string // "" for none
		want   []uint64
	}{
		"just retained":   {roxy.Cursor{Epoch: bounds.Epoch, Offset: 5}, "", []uint64{6, 7, 8, 9, 10}},
		"no longer":       {roxy.Cursor{Epoch: bounds.Epoch, Offset: 4}, "retention", nil},
		"another life":    {roxy.Cursor{Epoch: "other", Offset: 7}, "epoch", nil},
		"beyond the head": {roxy.Cursor{Epoch: bounds.Epoch, Offset: 11}, "epoch", nil},
		"at the head":     {roxy.Cursor{Epoch: bounds.Epoch, Offset: 10}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, stop := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}, After: &tt.after})
			r.awaitLine(t, "C roxy:live")
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			var reset string
			for _, l := range r.lines() {
				if strings.HasPrefix(l, "C roxy:reset") {
					reset = l
				}
			}
			if want := fmt.Sprintf(`C roxy:reset {"reason":%q,"cursor":"%s.10"}`, tt.reason, bounds.Epoch); tt.reason != "" && reset != want || tt.reason == "" && reset != "" {
				t.Errorf("reset %q, want %q", reset, want)
			}
			// Before the reset is said, the client stays where it was: cut off there, it hears it the next time.
			if hello := r.awaitLine(t, "C roxy:hello"); !strings.Contains(hello, `"cursor":"`+tt.after.String()+`"`) {
				t.Error(hello)
			}
			if offsets, _ := events(r.lines()); !slices.Equal(offsets, tt.want) {
				t.Errorf("offsets %v, want %v", offsets, tt.want)
			}
		})
	}
}

func TestHeartbeatMovesTheCursorPastWhatWasNotForTheStream(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Heartbeat: 50 * time.Millisecond})
	r.awaitLine(t, "C roxy:live")
	p := f.publish(t, me, event(t, "tables/1", "1"), event(t, "tables/2", "2"))
	r.await(t, "a heartbeat at the head", func(l []string) bool {
		return slices.ContainsFunc(l, func(s string) bool {
			return strings.HasPrefix(s, "C roxy:heartbeat") && strings.Contains(s, `"cursor":"`+p[1].Cursor.String()+`"`)
		})
	})
}

func TestSubscribeRefusesAPatternOutsideTheGrant(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	me.Grant.Read = []roxy.Pattern{pattern(t, "orders/**")}
	for _, p := range []string{"tables/1", "**", "*/7"} {
		err := f.Subscribe(t.Context(), Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "orders/*"), pattern(t, p)}, Encoding: lineEncoding{}}, newRecorder())
		problem(t, err, roxy.Forbidden, "topic")
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%v does not name %s", err, p)
		}
	}
}

func TestPublishChecksEveryEventBeforeAnyIsCommitted(t *testing.T) {
	f := startHub(t, Options{MaxBatch: 3})
	me := all(t, "bar", "u1")
	me.Grant.Publish = []roxy.Pattern{pattern(t, "orders/*")}
	publish := func(events ...roxy.Event) error {
		_, err := f.Publish(t.Context(), me, events)
		return err
	}
	ok := event(t, "orders/1", "1")
	problem(t, publish(ok, event(t, "tables/1", "1")), roxy.Forbidden, "[1].topic")
	problem(t, publish(event(t, "tables/1", "1")), roxy.Forbidden, "topic")
	problem(t, publish(ok, ok, ok, ok), roxy.InvalidEvent, "")
	problem(t, publish(), roxy.InvalidEvent, "")
	bad := ok
	bad.Type = "roxy:bye"
	problem(t, publish(ok, ok, bad), roxy.InvalidEvent, "[2].type")
	keyed, other := ok, ok
	keyed.ID, other.ID, other.Data = "k", "k", []byte("2")
	problem(t, publish(ok, keyed, other), roxy.KeyReused, "[2].id")
	passing := ok
	passing.Ephemeral = true
	problem(t, publish(passing, keyed, other), roxy.KeyReused, "[2].id")
	if b, err := f.engine.Bounds(t.Context(), "bar"); err != nil || b.Head != 0 {
		t.Errorf("head %d, %v: something of a refused publish was committed", b.Head, err)
	}
}

func TestRepeatedKeyAnswersTheFirstResult(t *testing.T) {
	f := startHub(t, Options{})
	me, you := all(t, "bar", "u1"), all(t, "bar", "u2")
	e := event(t, "a", "1")
	e.ID = "k"
	first := f.publish(t, me, e)[0]
	again := f.publish(t, me, event(t, "a", "0"), e)
	if again[1].Cursor != first.Cursor || !again[1].Duplicate || again[1].ID != "k" || again[0].Duplicate {
		t.Errorf("first %+v, again %+v", first, again)
	}
	if yours := f.publish(t, you, e)[0]; yours.Duplicate {
		t.Error("one user's key is another's")
	}
}

func TestEphemeralEventReachesWhoListensAndIsInNoLog(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}})
	r.awaitLine(t, "C roxy:live")
	typing := event(t, "a", `"typing"`)
	typing.Ephemeral = true
	p := f.publish(t, me, typing, event(t, "a", "1"))
	if !p[0].Ephemeral || p[0].Cursor.Epoch != "" || p[1].Cursor.Offset != 1 {
		t.Errorf("got %+v", p)
	}
	lines := r.await(t, "both", func(l []string) bool { o, _ := events(l); return len(o) == 2 })
	if _, data := events(lines); !slices.Contains(data, `"typing"`) {
		t.Errorf("got %v", data)
	}
	if b, err := f.engine.Bounds(t.Context(), "bar"); err != nil || b.Head != 1 {
		t.Errorf("head %d, %v", b.Head, err)
	}
}

func TestExpiredEventIsNotReplayed(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	brief := event(t, "a", `"brief"`)
	brief.TTL = time.Millisecond
	f.publish(t, me, brief, event(t, "a", `"lasting"`))
	time.Sleep(5 * time.Millisecond) // the event's own clock is the wall's
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}, Earliest: true})
	r.awaitLine(t, "C roxy:live")
	if _, data := events(r.lines()); !slices.Equal(data, []string{`"lasting"`}) {
		t.Errorf("got %v", data)
	}
}

func TestStreamEndsWithItsTokenUnlessRefreshed(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1", "waiter")
	me.Expires = time.Now().Add(300 * time.Millisecond)
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}}
	expiring, _ := f.subscribe(t, sub)
	refreshed, _ := f.subscribe(t, sub)
	hello := refreshed.awaitLine(t, "C roxy:hello")
	_, rest, _ := strings.Cut(hello, `"connection":"`)
	id, _, _ := strings.Cut(rest, `"`)

	fresh := me
	fresh.Expires = time.Now().Add(time.Hour)
	stranger := fresh
	stranger.User = "u2"
	problem(t, f.Refresh(id, stranger), roxy.NotFound, "connection")
	problem(t, f.Refresh("nosuch", fresh), roxy.NotFound, "connection")
	promoted := fresh
	promoted.Roles = []string{"manager"}
	problem(t, f.Refresh(id, promoted), roxy.Forbidden, "connection")
	narrower := fresh
	narrower.Grant = roxy.Grant{}
	problem(t, f.Refresh(id, narrower), roxy.Forbidden, "topic")
	if err := f.Refresh(id, fresh); err != nil {
		t.Fatal(err)
	}
	if bye := expiring.awaitLine(t, "C roxy:bye"); !strings.Contains(bye, `"token-expired"`) {
		t.Error(bye)
	}
	f.publish(t, me, event(t, "a", "1"))
	refreshed.awaitLine(t, "E 1")
}

func TestRevocationEndsLiveStreamsAndOutlivesARestart(t *testing.T) {
	dir := t.TempDir()
	revoked := all(t, "bar", "u1")
	revoked.TokenID, revoked.IssuedAt = "j1", time.Now()
	for round := range 2 {
		t.Run(fmt.Sprintf("life %d", round+1), func(t *testing.T) {
			f := startIn(t, dir, Options{}, disk.Options{})
			if round == 1 {
				other := revoked
				other.Tenant = "pub"
				if !f.Revoked(revoked) || f.Revoked(other) {
					t.Error("the restart forgot the revocation, or spread it to another tenant")
				}
				return
			}
			r, _ := f.subscribe(t, Subscription{Identity: revoked, Patterns: []roxy.Pattern{pattern(t, "a")}})
			kept, _ := f.subscribe(t, Subscription{Identity: all(t, "bar", "u2"), Patterns: []roxy.Pattern{pattern(t, "a")}})
			r.awaitLine(t, "C roxy:live")
			kept.awaitLine(t, "C roxy:live")
			problem(t, f.Revoke(t.Context(), roxy.Revocation{Tenant: "bar"}), roxy.InvalidParameter, "jti")
			problem(t, f.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", User: "u1"}), roxy.InvalidParameter, "before")
			if err := f.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", TokenID: "j1"}); err != nil {
				t.Fatal(err)
			}
			if bye := r.awaitLine(t, "C roxy:bye"); !strings.Contains(bye, `"revoked"`) {
				t.Error(bye)
			}
			f.publish(t, all(t, "bar", "u2"), event(t, "a", "1"))
			kept.awaitLine(t, "E 1")
		})
	}
}

// A connection that subscribes nothing yet is the hub's to know and to end all the same.
func TestAStreamWithoutPatternsHearsNothingAndEndsLikeAnyOther(t *testing.T) {
	f := startHub(t, Options{})
	me := all(t, "bar", "u1")
	me.TokenID, me.Expires = "j1", time.Now().Add(time.Hour)
	r, _ := f.subscribe(t, Subscription{Connection: "c1", Identity: me})
	r.awaitLine(t, "C roxy:live")
	f.publish(t, me, event(t, "a", "1"), roxy.Event{Topic: event(t, "a", "").Topic, Data: []byte("2"), Ephemeral: true})
	fresh := me
	fresh.Expires = me.Expires.Add(time.Hour)
	if err := f.Refresh("c1", fresh); err != nil {
		t.Error(err)
	}
	if who, ok := f.Identity("c1"); !ok || !who.Expires.Equal(fresh.Expires) {
		t.Errorf("c1 is %+v, %t", who, ok)
	}
	if _, ok := f.Identity("c2"); ok {
		t.Error("somebody is c2")
	}
	if err := f.Revoke(t.Context(), roxy.Revocation{Tenant: "bar", TokenID: "j1"}); err != nil {
		t.Fatal(err)
	}
	r.awaitLine(t, "C roxy:bye")
	if offsets, data := events(r.lines()); len(offsets) > 0 {
		t.Errorf("it was given %v", data)
	}
}

func TestPolicyReloadEndsWhatIsNoLongerAllowed(t *testing.T) {
	f := startHub(t, Options{})
	waiter, cook := all(t, "bar", "u1", "waiter"), all(t, "bar", "u2", "kitchen")
	w, _ := f.subscribe(t, Subscription{Identity: waiter, Patterns: []roxy.Pattern{pattern(t, "orders/*")}})
	k, _ := f.subscribe(t, Subscription{Identity: cook, Patterns: []roxy.Pattern{pattern(t, "orders/*")}})
	w.awaitLine(t, "C roxy:live")
	k.awaitLine(t, "C roxy:live")
	f.Regrant(func(id roxy.Identity) roxy.Grant {
		if slices.Contains(id.Roles, "kitchen") {
			return roxy.Grant{Read: []roxy.Pattern{pattern(t, "orders/**")}}
		}
		return roxy.Grant{}
	})
	w.awaitLine(t, "C roxy:bye")
	f.publish(t, cook, event(t, "orders/1", "1"))
	k.awaitLine(t, "E 1")
}

func TestStuckReaderIsClosedAsSlowAndOthersGoOn(t *testing.T) {
	f := startHub(t, Options{QueueEvents: 100})
	me := all(t, "bar", "u1")
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}}
	stuck, _ := f.subscribe(t, sub)
	quick, _ := f.subscribe(t, sub)
	stuck.awaitLine(t, "C roxy:live")
	quick.awaitLine(t, "C roxy:live")
	letGo := stuck.hold()
	const n = 2000
	for i := range n {
		f.publish(t, me, event(t, "a", fmt.Sprint(i)))
	}
	quick.await(t, "all events", func(l []string) bool { o, _ := events(l); return len(o) == n })
	time.Sleep(stuckWrite + 100*time.Millisecond) // what makes it stuck is time
	letGo()
	if bye := stuck.awaitLine(t, "C roxy:bye"); !strings.Contains(bye, `"slow"`) {
		t.Error(bye)
	}
	for end := time.Now().Add(20 * time.Second); f.Stats().Ended["slow"] != 1 && time.Now().Before(end); { // it is counted behind its goodbye
		time.Sleep(time.Millisecond)
	}
	if s := f.Stats(); s.Ended["slow"] != 1 || s.Queued > 1<<20 {
		t.Errorf("ended %v, queued %d", s.Ended, s.Queued)
	}
}

func TestReaderThatLagsGoesOnFromTheLogWithoutHoleOrRepeat(t *testing.T) {
	f := startHub(t, Options{QueueEvents: 50})
	me := all(t, "bar", "u1")
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}})
	r.awaitLine(t, "C roxy:live")
	const rounds, batch = 20, 500
	for range rounds {
		letGo := r.hold()
		var events []roxy.Event
		for i := range batch {
			e := event(t, "a", fmt.Sprint(i))
			if i%7 == 0 {
				e.To = roxy.Audience{Users: []string{"u1"}} // by the private lane
			}
			events = append(events, e)
		}
		f.publish(t, me, events...)
		letGo()
	}
	lines := r.await(t, "all events", func(l []string) bool { o, _ := events(l); return len(o) >= rounds*batch })
	offsets, _ := events(lines)
	for i, o := range offsets {
		if o != uint64(i+1) {
			t.Fatalf("event %d has offset %d", i, o)
		}
	}
	if f.Stats().Lagged == 0 {
		t.Error("the reader never fell behind: the test shows nothing")
	}
}

func TestCloseSaysByeToEveryStream(t *testing.T) {
	f := startHub(t, Options{DrainOver: time.Second})
	me := all(t, "bar", "u1")
	r, stop := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}})
	r.awaitLine(t, "C roxy:live")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := f.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if bye := r.awaitLine(t, "C roxy:bye"); !strings.Contains(bye, `"drain"`) {
		t.Error(bye)
	}
	problem(t, f.Subscribe(t.Context(), Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}, Encoding: lineEncoding{}}, newRecorder()), roxy.Overloaded, "")
}

func TestGoodbyesAreSpreadOverTheDrain(t *testing.T) {
	f := startHub(t, Options{DrainOver: time.Minute})
	const n = 60
	began := make([]*recorder, n)
	for i := range began {
		began[i], _ = f.subscribe(t, Subscription{Identity: all(t, "bar", "u1"), Patterns: []roxy.Pattern{pattern(t, "a")}})
		began[i].awaitLine(t, "C roxy:live")
	}
	over := make(chan error, 1)
	go func() { over <- f.Close(t.Context()) }()
	said := func() (n int) {
		for _, r := range began {
			if strings.HasPrefix(r.lines()[len(r.lines())-1], "C roxy:bye") {
				n++
			}
		}
		return n
	}
	seen := map[int]bool{} // how many had been told, at moments between
	for done := false; !done; {
		select {
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		case <-time.After(5 * time.Millisecond):
			seen[said()] = true
		}
	}
	if said() != n || len(seen) < 3 {
		t.Errorf("%d of %d were told, in %d steps", said(), n, len(seen))
	}
}

func TestCanaryGoesAllTheWay(t *testing.T) {
	f := startHub(t, Options{})
	for range 3 {
		if err := f.Canary(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.engine.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := f.Canary(ctx); err == nil {
		t.Error("a canary through a closed engine arrived")
	}
}

func TestConnectionsShowsOneTenantAlone(t *testing.T) {
	f := startHub(t, Options{})
	for _, tenant := range []string{"bar", "pub"} {
		r, _ := f.subscribe(t, Subscription{Identity: all(t, tenant, "u1"), Patterns: []roxy.Pattern{pattern(t, "a/**")}, Remote: "192.0.2.1"})
		r.awaitLine(t, "C roxy:live")
	}
	list := f.Connections("bar")
	if len(list) != 1 || list[0].User != "u1" || list[0].Remote != "192.0.2.1" || !slices.Equal(list[0].Patterns, []string{"a/**"}) {
		t.Errorf("got %+v", list)
	}
}

// Events that may wait go out together, when the first has waited long enough; what may not wait takes them along.
func TestCoalescedEventsWaitForOthers(t *testing.T) {
	const wait = 100 * time.Millisecond
	f := startHub(t, Options{Coalesce: []Coalesce{{pattern(t, "prices/**"), time.Hour}, {pattern(t, "prices/*"), wait}, {pattern(t, "prices/now"), 0}}})
	me := all(t, "bar", "u1")
	r, _ := f.subscribe(t, Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "**")}})
	r.awaitLine(t, "C roxy:live")

	began := time.Now()
	f.publish(t, me, event(t, "prices/1", "1"))
	r.awaitLine(t, "E 1 ")
	if waited := time.Since(began); waited < wait {
		t.Errorf("the event came after %s already", waited)
	}
	urgent := event(t, "prices/2/far", "5")
	urgent.Urgent = true
	for _, release := range []roxy.Event{event(t, "orders/1", "3"), urgent, event(t, "prices/now", "7")} {
		f.publish(t, me, event(t, "prices/1/far", "2"))
		f.publish(t, me, release) // before an hour is over
		r.awaitLine(t, fmt.Sprintf("E %d ", f.head(t)))
	}
	if got, _ := events(r.lines()); !slices.Equal(got, []uint64{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("got %v", got)
	}
}

// head returns the offset of the newest event of the bar.
func (f fixture) head(t *testing.T) uint64 {
	t.Helper()
	b, err := f.store.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	return b.Head
}
