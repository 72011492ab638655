package hub

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// missed is a log of events for all kinds of audiences.
type missed struct {
	fixture
	tenant string
	events []roxy.Event // the one at i has the offset i+1

	subscriptions int
}

// likes draws events that others are like.
func likes(t *testing.T) *rapid.Generator[[]roxy.Event] {
	t.Helper()
	one := rapid.Custom(func(rt *rapid.T) roxy.Event {
		data := fmt.Sprintf("%q", strings.Repeat("x", rapid.SampledFrom([]int{1, 100, 2000}).Draw(rt, "size")))
		e := event(t, rapid.SampledFrom([]string{"orders/1", "orders/2", "stock/1"}).Draw(rt, "topic"), data)
		e.Type = rapid.SampledFrom([]string{"new", "done"}).Draw(rt, "type")
		e.TTL = rapid.SampledFrom([]time.Duration{0, 0, 1, time.Hour}).Draw(rt, "ttl") // 1: over before it is replayed
		e.Except = rapid.SampledFrom([]string{"", "", "tablet1", "tablet3"}).Draw(rt, "except")
		if rapid.Bool().Draw(rt, "to some") {
			e.To.Roles = rapid.SampledFrom([][]string{nil, {"waiter"}, {"cook"}}).Draw(rt, "roles")
			e.To.Users = rapid.SampledFrom([][]string{nil, {"ada"}, {"bob"}}).Draw(rt, "users")
		}
		return e
	})
	return rapid.SliceOfN(one, 1, 12)
}

func (m *missed) publish(t *testing.T, rt *rapid.T) {
	t.Helper()
	kinds := likes(t).Draw(rt, "like")
	var batch []roxy.Event
	for range rapid.IntRange(1, 3*chunkEvents).Draw(rt, "published") {
		e := kinds[(len(m.events)*7+len(m.events)/5)%len(kinds)]
		m.events, batch = append(m.events, e), append(batch, e)
	}
	m.fixture.publish(t, all(t, m.tenant, "publisher"), batch...)
}

// isFor is what docs/protocol.md says of who gets an event.
func isFor(sub *Subscription, e *roxy.Event) bool {
	everyone := len(e.To.Roles) == 0 && len(e.To.Users) == 0
	named := slices.Contains(e.To.Users, sub.Identity.User) || slices.Contains(e.To.Roles, sub.Identity.Roles[0])
	subject := sub.Patterns[0].Matches(e.Topic) && (sub.Types == nil || slices.Contains(sub.Types, e.Type))
	return subject && (everyone || named) && e.TTL != 1 && (e.Except == "" || e.Except != sub.Device)
}

// want returns the offsets and the data of what is for sub behind an offset.
func (m *missed) want(sub *Subscription, after uint64) (offsets []uint64, data []string) {
	for i := after; i < uint64(len(m.events)); i++ {
		if e := &m.events[i]; isFor(sub, e) {
			offsets, data = append(offsets, i+1), append(data, string(e.Data))
		}
	}
	return offsets, data
}

// subscription draws one of few classes, so that streams share.
func (m *missed) subscription(t *testing.T, rt *rapid.T) Subscription {
	t.Helper()
	who := rapid.SampledFrom([]string{"ada", "bob", "eve"}).Draw(rt, "who")
	sub := Subscription{
		Identity: all(t, m.tenant, who, rapid.SampledFrom([]string{"waiter", "cook"}).Draw(rt, "as")), Gzip: rapid.Bool().Draw(rt, "gzip"),
		Patterns: []roxy.Pattern{pattern(t, rapid.SampledFrom([]string{"**", "**", "orders/*", "orders/1"}).Draw(rt, "pattern"))},
		Types:    rapid.SampledFrom([][]string{nil, nil, {"new"}}).Draw(rt, "types"),
		Encoding: lineEncoding{}, Heartbeat: time.Minute, Transport: "test",
	}
	if m.subscriptions++; rapid.Bool().Draw(rt, "device") { // each has one owner and one connection
		sub.Device = fmt.Sprintf("tablet%d", m.subscriptions)
	}
	return sub
}

// Streams that come back together, from different places, are given what each would be given alone, whatever it shares with
// the others.
func TestStreamsThatComeBackTogetherGetWhatIsForEach(t *testing.T) {
	f := startQuick(t, Options{MailboxEvents: 10_000})
	var worlds int
	rapid.Check(t, func(rt *rapid.T) {
		worlds++
		m := &missed{fixture: f, tenant: fmt.Sprintf("bar%d", worlds)}
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			m.publish(t, rt)
			bounds, err := f.engine.Bounds(t.Context(), m.tenant)
			if err != nil {
				rt.Fatal(err)
			}
			var together, live sync.WaitGroup
			for range rapid.IntRange(2, 12).Draw(rt, "streams") {
				sub := m.subscription(t, rt)
				after := rapid.Uint64Range(0, bounds.Head).Draw(rt, "after")
				sub.After = &roxy.Cursor{Epoch: bounds.Epoch, Offset: after}
				live.Add(1)
				together.Go(func() {
					r := newRecorder()
					r.gzip = sub.Gzip
					over := make(chan error, 1)
					go func() { over <- f.Subscribe(t.Context(), sub, r) }()
					replayed := r.awaitLine(t, "C roxy:live")
					live.Done()
					if err := <-over; err != nil {
						t.Error(err)
					}
					r.awaitLine(t, "C roxy:bye") // behind which a compressed stream has its sum
					offsets, data := events(r.lines())
					wantOffsets, wantData := m.want(&sub, after)
					if !slices.Equal(offsets, wantOffsets) || !slices.Equal(data, wantData) {
						t.Errorf("%s %v behind %d of %d: got %d events, want %d", sub.Identity.User, sub.Patterns, after, bounds.Head, len(offsets), len(wantOffsets))
					}
					if want := fmt.Sprintf(`"replayed":%d`, len(wantOffsets)); !strings.Contains(replayed, want) {
						t.Errorf("%s, want %s", replayed, want)
					}
				})
			}
			live.Wait()
			f.endWhere(Drain, func(_ []roxy.Pattern, who roxy.Identity) bool { return who.Tenant == m.tenant })
			together.Wait()
		}
	})
	if s := f.Stats(); s.SpelledShared == 0 || s.SpelledAlone == 0 {
		t.Errorf("%d stretches were given as spelled for others, %d spelled alone", s.SpelledShared, s.SpelledAlone)
	}
}

// tally is a way out that counts what it is given, and whether each event is the one behind the last.
type tally struct {
	events, wrong uint64
	live          chan struct{}
}

func (c *tally) Write(p []byte) error {
	for l := range bytes.Lines(p) {
		switch word, rest, _ := bytes.Cut(l, []byte(" ")); {
		case string(word) == "E":
			offset, _, _ := bytes.Cut(rest, []byte(" "))
			if c.events++; string(offset) != strconv.FormatUint(c.events, 10) {
				c.wrong++
			}
		case bytes.HasPrefix(rest, []byte("roxy:live")):
			close(c.live)
		}
	}
	return nil
}

func (c *tally) SetDeadline(time.Time) {}

// A storm: each stretch is spelled a few times for hundreds of streams, in bounded memory though there is more text than that.
func TestTextOfAStormIsSharedAndBounded(t *testing.T) {
	f := startQuick(t, Options{})
	me := all(t, "bar", "u1")
	const n, streams, classes = 1000, 200, 5
	note := `"` + strings.Repeat("x", 5000) + `"` // 5 MB for each class
	var batch []roxy.Event
	for range n {
		batch = append(batch, event(t, "a/b", note))
	}
	f.publish(t, me, batch...)
	topics := []string{"*/b", "a/*", "**", "a/**", "*/**"}
	var storm sync.WaitGroup
	over := make(chan struct{})
	looked := make(chan int64)
	go func() {
		var most int64
		for {
			most = max(most, f.Stats().Transcripts)
			select {
			case <-over:
				looked <- most
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	for i := range streams {
		storm.Go(func() {
			got := &tally{live: make(chan struct{})}
			ctx, cancel := context.WithCancel(t.Context())
			sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, topics[i%classes])}, Earliest: true, Heartbeat: time.Minute, Encoding: lineEncoding{}, Transport: "test"}
			ended := make(chan error, 1)
			go func() { ended <- f.Subscribe(ctx, sub, got) }()
			<-got.live
			cancel()
			if err := <-ended; err != nil || got.events != n || got.wrong > 0 {
				t.Errorf("stream %d got %d events, %d of them out of order: %v", i, got.events, got.wrong, err)
			}
		})
	}
	storm.Wait()
	close(over)
	most := <-looked
	s := f.Stats()
	t.Logf("%d stretches spelled alone, %d given, %d bytes at most", s.SpelledAlone, s.SpelledShared, most)
	if most == 0 || most > transcriptsKept {
		t.Errorf("%d bytes of text were kept", most)
	}
	if s.SpelledAlone > s.SpelledShared {
		t.Errorf("%d stretches were spelled alone, %d given as spelled for others", s.SpelledAlone, s.SpelledShared)
	}
}

// What waits for a stream is what it would be given, whoever asks together with it.
func TestWaitingCountsWhatIsForTheStream(t *testing.T) {
	f := startQuick(t, Options{})
	var worlds int
	rapid.Check(t, func(rt *rapid.T) {
		worlds++
		m := &missed{fixture: f, tenant: fmt.Sprintf("bar%d", worlds)}
		m.publish(t, rt)
		bounds, err := f.engine.Bounds(t.Context(), m.tenant)
		if err != nil {
			rt.Fatal(err)
		}
		stored := make(map[uint64]time.Time)
		for e, err := range f.engine.Read(t.Context(), m.tenant, engine.Query{Until: bounds.Head}) {
			if err != nil {
				rt.Fatal(err)
			}
			stored[e.Offset] = e.Time
		}
		for range rapid.IntRange(1, 6).Draw(rt, "streams") {
			st := &stream{hub: f.Hub, sub: m.subscription(t, rt), views: f.views.Load(), epoch: bounds.Epoch}
			st.wake()
			st.sent = rapid.Uint64Range(0, bounds.Head).Draw(rt, "after")
			until := rapid.Uint64Range(0, bounds.Head).Draw(rt, "until")
			offsets, _ := m.want(&st.sub, st.sent)
			offsets = slices.DeleteFunc(offsets, func(o uint64) bool { return o > until })
			limit := rapid.Uint64Range(0, bounds.Head).Draw(rt, "limit")
			for range 2 { // the second time out of what the first has read
				n, oldest, err := st.waiting(t.Context(), until, limit)
				if err != nil {
					rt.Fatal(err)
				}
				if want := uint64(len(offsets)); n != want && (n <= limit || want <= limit) {
					rt.Fatalf("%d wait behind %d up to %d, want %d (limit %d)", n, st.sent, until, want, limit)
				}
				if len(offsets) > 0 && !oldest.Equal(stored[offsets[0]]) || len(offsets) == 0 && !oldest.IsZero() {
					rt.Fatalf("the oldest is of %s, want %v", oldest, offsets[:min(1, len(offsets))])
				}
			}
		}
	})
}
