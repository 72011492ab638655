package hub

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/fanout"
)

// watching subscribes who to presence and orders, and returns the way out once the list is there.
func (f fixture) watching(t *testing.T, who roxy.Identity, gzip bool) *recorder {
	t.Helper()
	r := newRecorder()
	r.gzip = gzip
	f.follow(t, Subscription{Identity: who, Patterns: []roxy.Pattern{pattern(t, "roxy/presence"), pattern(t, "orders/*")}, Gzip: gzip}, r)
	r.awaitLine(t, "C "+presenceType)
	return r
}

// boss is an identity of the bar that may read everything, and who is present.
func boss(t *testing.T) roxy.Identity {
	t.Helper()
	who := all(t, "bar", "boss")
	who.Grant.Read = append(who.Grant.Read, pattern(t, "roxy/presence"))
	return who
}

// awaitHeld waits until what lines tell is want.
func (r *recorder) awaitHeld(t *testing.T, want ...Present) {
	t.Helper()
	wanted := held{}
	for _, k := range want {
		wanted[k] = true
	}
	r.await(t, fmt.Sprintf("presence of %v", want), func(lines []string) bool {
		h := held{}
		for _, l := range lines {
			h.take(t, l)
		}
		return maps.Equal(h, wanted)
	})
}

func TestWatcherHearsWhoIsThereAndThenWhoComesAndGoes(t *testing.T) {
	for _, gzip := range []bool{false, true} {
		t.Run(fmt.Sprintf("compressed %v", gzip), func(t *testing.T) {
			f := startQuick(t, Options{PresenceGrace: 30 * time.Millisecond})
			subscribe := func(tenant, user, device string) (stop func() error) {
				sub := orders(t, all(t, tenant, user))
				sub.Device = device
				r, stop := f.subscribe(t, sub)
				r.awaitLine(t, "C roxy:live")
				return stop
			}
			subscribe("bar", "ann", "tablet")
			subscribe("pub", "stranger", "")
			r := f.watching(t, boss(t), gzip)
			r.awaitHeld(t, key("ann", "tablet"), key("boss", ""))
			stop := subscribe("bar", "bob", "")
			r.awaitHeld(t, key("ann", "tablet"), key("boss", ""), key("bob", ""))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			r.awaitHeld(t, key("ann", "tablet"), key("boss", ""))
			f.publish(t, all(t, "bar", "ann"), event(t, "orders/1", "1"))
			r.awaitLine(t, "E 1 ")
			lines := r.lines()
			if len(lines) < 3 || !strings.HasPrefix(lines[1], "C roxy:live") || !strings.HasPrefix(lines[2], "C "+presenceType) {
				t.Errorf("want hello, live and then who is present, got\n%s", strings.Join(lines, "\n"))
			}
		})
	}
}

func TestPresenceIsForWhoMayReadItAndAsksForIt(t *testing.T) {
	f := startQuick(t, Options{})
	sub := Subscription{Identity: all(t, "bar", "ann"), Patterns: []roxy.Pattern{pattern(t, "roxy/presence")}, Encoding: lineEncoding{}}
	problem(t, f.Subscribe(t.Context(), sub, newRecorder()), roxy.Forbidden, "topic")
	_, err := f.Presence(t.Context(), all(t, "bar", "ann"), roxy.Topic{}, "", 10)
	problem(t, err, roxy.Forbidden, "topic")
	watcher := boss(t)
	watcher.Grant.Read = watcher.Grant.Read[1:]
	_, err = f.Presence(t.Context(), watcher, topic(t, "orders/1"), "", 10)
	problem(t, err, roxy.Forbidden, "topic")

	for name, change := range map[string]func(*Subscription){
		"a pattern that does not reach it": func(s *Subscription) { s.Patterns = []roxy.Pattern{pattern(t, "**")} },
		"other types":                      func(s *Subscription) { s.Types = []string{"order:new"} },
	} {
		sub := sub
		sub.Identity = boss(t)
		change(&sub)
		r, stop := f.subscribe(t, sub)
		r.awaitLine(t, "C roxy:live")
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if h := (held{}); h.take(t, r.lines()[len(r.lines())-1]) {
			t.Errorf("%s: %v", name, r.lines())
		}
	}
	sub.Identity, sub.Types = boss(t), []string{presenceType}
	r, _ := f.subscribe(t, sub)
	r.awaitHeld(t, key("boss", ""))
}

func TestListGoesInPartsThatNoQueueBounds(t *testing.T) {
	f := startQuick(t, Options{QueueBytes: 2 << 10, QueueEvents: 10})
	const users = 1201
	for i := range users {
		f.presence.arrive(&Subscription{
			Identity: roxy.Identity{Tenant: "bar", User: fmt.Sprintf("%0100d", i)}, Patterns: []roxy.Pattern{pattern(t, "orders/*")},
		})
	}
	r := f.watching(t, boss(t), false)
	lines := r.await(t, "the last part", func(lines []string) bool { return strings.Contains(lines[len(lines)-1], `"part":7,"parts":7`) })
	h := held{}
	for _, l := range lines {
		h.take(t, l)
	}
	if len(h) != users+1 || f.Stats().Lagged != 0 {
		t.Errorf("%d of %d are told, the stream fell behind %d times", len(h), users+1, f.Stats().Lagged)
	}
}

func TestWatcherThatFellBehindIsGivenTheWholeListAnew(t *testing.T) {
	f := startQuick(t, Options{QueueBytes: 2 << 10, QueueEvents: 10, PresenceGrace: time.Millisecond})
	ann := all(t, "bar", "ann")
	r := f.watching(t, boss(t), false)
	letGo := r.hold()
	f.publish(t, ann, event(t, "orders/1", "1"))
	<-r.waiting // in the write of that event
	for i := range 20 {
		f.publish(t, ann, event(t, "orders/1", fmt.Sprintf(`"%0500d"`, i)))
	}
	f.presence.arrive(&Subscription{Identity: ann, Patterns: []roxy.Pattern{pattern(t, "orders/*")}})
	awaitTrue(t, func() bool { return f.presence.told("bar", "ann") })
	letGo()
	r.awaitHeld(t, key("ann", ""), key("boss", ""))
	if f.Stats().Lagged == 0 {
		t.Error("the stream never fell behind")
	}
	if n := strings.Count(strings.Join(r.lines(), "\n"), `"parts":1`); n != 2 {
		t.Errorf("%d lists, want the first and one more", n)
	}
}

// told reports whether the tenant's watchers have been told that somebody is present.
func (p *presence) told(tenant, user string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.tenants[tenant].users[user]
	return u != nil && u.told > 0
}

func awaitTrue(t *testing.T, what func() bool) {
	t.Helper()
	for until := time.Now().Add(20 * time.Second); !what(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("not after 20 s")
		}
	}
}

func TestAttendanceIsPagedByUser(t *testing.T) {
	f := startQuick(t, Options{})
	me := boss(t)
	for i := range 25 {
		for _, device := range []string{"b", "a"} {
			f.presence.arrive(&Subscription{
				Identity: roxy.Identity{Tenant: "bar", User: fmt.Sprintf("u%02d", i)}, Device: device, Patterns: []roxy.Pattern{pattern(t, fmt.Sprintf("orders/%d", i%2))},
			})
		}
	}
	for _, at := range []roxy.Topic{{}, topic(t, "orders/0"), topic(t, "orders/1"), topic(t, "orders/2")} {
		var names []string
		after := ""
		for {
			page, err := f.Presence(t.Context(), me, at, after, 6)
			if err != nil {
				t.Fatal(err)
			}
			if page.Settles.IsZero() {
				t.Error("a hub that has just begun takes its list for settled")
			}
			for _, u := range page.Users {
				names = append(names, u.User)
				if len(u.Devices) != 2 || u.Devices[0].Device != "a" || !u.Devices[1].Connected {
					t.Errorf("%s has %+v", u.User, u.Devices)
				}
			}
			if !page.More {
				break
			}
			after = names[len(names)-1]
		}
		var want []string
		for i := range 25 {
			if at == (roxy.Topic{}) || at == topic(t, fmt.Sprintf("orders/%d", i%2)) {
				want = append(want, fmt.Sprintf("u%02d", i))
			}
		}
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("at %q: %v, want %v", at, names, want)
		}
	}
}

// What presence costs a connection, beside all that a stream which ends at once costs.
func BenchmarkPresenceOfAConnection(b *testing.B) {
	user := func(n int) string { return fmt.Sprint("user-", n%10_000) }
	sub := Subscription{
		Identity:  roxy.Identity{Tenant: "bar", Grant: roxy.Grant{Read: []roxy.Pattern{pattern(b, "**")}}},
		Heartbeat: time.Hour, Encoding: bareEncoding{}, Patterns: []roxy.Pattern{pattern(b, "orders/*")},
	}
	b.Run("whole stream", func(b *testing.B) {
		h := benchHub(b)
		b.ReportAllocs()
		for n := 0; b.Loop(); n++ {
			sub.Identity.User = user(n)
			if err := h.Subscribe(b.Context(), sub, oneShot{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, watched := range map[string]bool{"presence": false, "presence with a watcher": true} {
		b.Run(name, func(b *testing.B) {
			p := benchHub(b).presence
			if watched {
				boss := sub
				boss.Identity.User = "boss"
				p.watch(p.arrive(&boss), fanout.NewLog(fanout.Limits{Bytes: 1 << 20, Frames: 1000}).Join(), presenceForm{encoding: bareEncoding{}})
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				sub.Identity.User = user(n)
				p.depart(p.arrive(&sub))
			}
		})
	}
}

// oneShot is a way out that fails at roxy:live.
type oneShot struct{}

func (oneShot) Write(p []byte) error {
	if p[0] == 'v' {
		return errors.New("that is all")
	}
	return nil
}

func (oneShot) SetDeadline(time.Time) {}
