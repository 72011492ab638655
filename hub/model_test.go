package hub

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
)

// subscriber is somebody who comes and goes, resuming where it was, while the model remembers what it is owed.
type subscriber struct {
	sub      Subscription
	last     *roxy.Cursor
	offsets  []uint64
	since    uint64 // the head when it first came
	recorder *recorder
	stop     func()
}

// No subscriber gets an event too many or one too few: random tenants, users, devices, roles, patterns, types, audiences
// and exceptions, with disconnections at random moments, against a model that filters the list of all events.
func TestEverySubscriberGetsExactlyItsSubsequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		world := newWorld(t)
		defer world.close(t)
		for range rapid.IntRange(10, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				world.arrive(t)
			case 1:
				world.disconnect(t)
			case 2:
				world.resume(t)
			default:
				world.publish(t)
			}
		}
		for _, s := range world.subscribers {
			if s.stop == nil {
				world.connect(t, s)
			}
		}
		world.check(t)
	})
}

type world struct {
	hub         *Hub
	engine      *disk.Engine
	logs        map[string][]roxy.Event
	subscribers []*subscriber
}

func newWorld(t *rapid.T) *world {
	e, err := disk.Open("log", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(), e, Options{QueueEvents: 3}) // so small that falling behind is usual
	if err != nil {
		t.Fatal(err)
	}
	return &world{hub: h, engine: e, logs: make(map[string][]roxy.Event)}
}

func (w *world) close(t *rapid.T) {
	for _, s := range w.subscribers {
		if s.stop != nil {
			s.stop()
		}
	}
	if err := w.hub.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := w.engine.Close(); err != nil {
		t.Error(err)
	}
}

var (
	names   = rapid.SampledFrom([]string{"ann", "bob", "cem"})
	tenants = rapid.SampledFrom([]string{"bar", "pub"})
	roles   = rapid.SampledFrom([]string{"waiter", "kitchen", "till"})
	paths   = rapid.SampledFrom([]string{"orders/1", "orders/2", "orders/1/items", "tables/1", "calls"})
	globs   = rapid.SampledFrom([]string{"orders/1", "orders/*", "orders/**", "**", "*/1", "*", "tables/1", "calls", "nothing/*"})
	kinds   = rapid.SampledFrom([]string{"message", "new", "gone"})
	tablets = rapid.SampledFrom([]string{"", "bar-0", "bar-1", "bar-2"})
)

func (w *world) publish(t *rapid.T) {
	tenant := tenants.Draw(t, "tenant")
	by := roxy.Identity{Tenant: tenant, User: names.Draw(t, "by"), Grant: roxy.Grant{Publish: []roxy.Pattern{pattern(t, "**")}}}
	var batch []roxy.Event
	for range rapid.IntRange(1, 4).Draw(t, "batch") {
		topic, _ := pattern(t, paths.Draw(t, "topic")).Topic()
		e := roxy.Event{Topic: topic, Type: kinds.Draw(t, "type"), Data: []byte(strconv.Itoa(len(w.logs[tenant]) + len(batch))), Except: tablets.Draw(t, "except")}
		if rapid.Bool().Draw(t, "addressed") {
			to, err := roxy.NewAudience(rapid.SliceOfN(roles, 0, 2).Draw(t, "to roles"), rapid.SliceOfN(names, 0, 2).Draw(t, "to users"))
			if err != nil {
				t.Fatal(err)
			}
			e.To = to
		}
		batch = append(batch, e)
	}
	published, err := w.hub.Publish(context.Background(), by, batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		batch[i].Offset = published[i].Cursor.Offset
		w.logs[tenant] = append(w.logs[tenant], batch[i])
	}
}

func (w *world) arrive(t *rapid.T) {
	tenant := tenants.Draw(t, "tenant")
	s := &subscriber{since: uint64(len(w.logs[tenant])), sub: Subscription{
		Identity: roxy.Identity{
			Tenant: tenant, User: names.Draw(t, "user"), Roles: sorted(rapid.SliceOfN(roles, 0, 2).Draw(t, "roles")),
			Grant: roxy.Grant{Read: []roxy.Pattern{pattern(t, "**")}},
		},
		Types: rapid.SliceOfN(kinds, 0, 2).Draw(t, "types"), Heartbeat: 1 << 40, Encoding: lineEncoding{}, Transport: "test",
		Gzip: rapid.Bool().Draw(t, "gzip"),
	}}
	if rapid.Bool().Draw(t, "device") { // it has one owner and one connection
		s.sub.Device = fmt.Sprintf("bar-%d", len(w.subscribers))
	}
	for _, g := range rapid.SliceOfN(globs, 1, 3).Draw(t, "patterns") {
		s.sub.Patterns = append(s.sub.Patterns, pattern(t, g))
	}
	if rapid.Bool().Draw(t, "from the earliest") {
		s.sub.Earliest, s.since = true, 0
	}
	w.subscribers = append(w.subscribers, s)
	w.connect(t, s)
}

func (w *world) disconnect(t *rapid.T) {
	for _, s := range w.subscribers {
		if s.stop != nil && rapid.Bool().Draw(t, "goes") {
			s.leave(t)
			return
		}
	}
}

func (w *world) resume(t *rapid.T) {
	for _, s := range w.subscribers {
		if s.stop == nil {
			w.connect(t, s)
			return
		}
	}
}

func (w *world) connect(t *rapid.T, s *subscriber) {
	sub := s.sub
	if s.last != nil {
		sub.After, sub.Earliest = s.last, false
	}
	s.recorder = newRecorder()
	s.recorder.gzip = sub.Gzip
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.hub.Subscribe(ctx, sub, s.recorder); err != nil {
			panic(err)
		}
	})
	s.stop = func() { cancel(); running.Wait() }
	s.await(t, func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), "C roxy:live") })
}

// await returns when done says that what was received is enough.
func (s *subscriber) await(t *rapid.T, done func(lines []string) bool) {
	timeout := time.After(20 * time.Second)
	for {
		s.recorder.mu.Lock()
		moved := s.recorder.moved
		s.recorder.mu.Unlock()
		if done(s.recorder.lines()) {
			return
		}
		select {
		case <-moved:
		case <-timeout:
			t.Fatalf("still waiting after 20 s with %v", s.recorder.lines())
		}
	}
}

// leave ends the connection at whatever it has received, as a cut cable does.
func (s *subscriber) leave(t *rapid.T) {
	s.stop()
	s.stop = nil
	for _, l := range s.recorder.lines() {
		if cursor, ok := cursorOf(l, s.recorder.lines()[0]); ok {
			s.last = &cursor
		}
	}
	offsets, _ := events(s.recorder.lines())
	s.offsets = append(s.offsets, offsets...)
	if s.last == nil {
		t.Fatal("no cursor before the first event")
	}
}

// cursorOf returns the position that a line moves the client to.
func cursorOf(line, hello string) (roxy.Cursor, bool) {
	_, rest, _ := strings.Cut(hello, `"epoch":"`)
	epoch, _, _ := strings.Cut(rest, `"`)
	var offset uint64
	if _, err := fmt.Sscanf(line, "E %d ", &offset); err == nil {
		return roxy.Cursor{Epoch: epoch, Offset: offset}, true
	}
	if _, rest, ok := strings.Cut(line, `"cursor":"`); ok && strings.HasPrefix(line, "C ") {
		s, _, _ := strings.Cut(rest, `"`)
		c, err := roxy.ParseCursor(s)
		return c, err == nil
	}
	return roxy.Cursor{}, false
}

func (w *world) check(t *rapid.T) {
	for i, s := range w.subscribers {
		var want []uint64
		for _, e := range w.logs[s.sub.Identity.Tenant] {
			if e.Offset > s.since && owed(&s.sub, e) {
				want = append(want, e.Offset)
			}
		}
		// What is too many comes before what is still owed, or is there when the stream ends.
		s.await(t, func(lines []string) bool {
			offsets, _ := events(lines)
			return len(s.offsets)+len(offsets) >= len(want)
		})
		s.leave(t)
		if !slices.Equal(s.offsets, want) {
			t.Fatalf("subscriber %d of %s as %s %v with %v got %v, want %v", i, s.sub.Identity.Tenant, s.sub.Identity.User, s.sub.Identity.Roles, s.sub.Patterns, s.offsets, want)
		}
	}
}

// owed is the naive model of who gets what, spelled out without the hub's code.
func owed(sub *Subscription, e roxy.Event) bool {
	topicOK := slices.ContainsFunc(sub.Patterns, func(p roxy.Pattern) bool {
		return glob(strings.Split(p.String(), "/"), strings.Split(e.Topic.String(), "/"))
	})
	typeOK := len(sub.Types) == 0 || slices.Contains(sub.Types, e.Type)
	forMe := len(e.To.Roles)+len(e.To.Users) == 0 || slices.Contains(e.To.Users, sub.Identity.User)
	for _, r := range sub.Identity.Roles {
		forMe = forMe || slices.Contains(e.To.Roles, r)
	}
	return topicOK && typeOK && forMe && (e.Except == "" || e.Except != sub.Device)
}

func glob(p, t []string) bool {
	switch {
	case len(p) == 0:
		return len(t) == 0
	case p[0] == "**":
		return true
	case len(t) == 0:
		return false
	default:
		return (p[0] == "*" || p[0] == t[0]) && glob(p[1:], t[1:])
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}
