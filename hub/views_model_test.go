package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// Whoever applies the deltas of a stream to the entities of its snapshot has, at every version, exactly what its roles may
// see of the entity: random documents, patches, rules, roles and authors, streams from the beginning, from a snapshot in
// between and resumed. A delta is the smallest one, so that it tells of nothing else.
func TestDeltasLeadFromSnapshotsToExactlyTheViewAtEveryVersion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBar(t)
		defer b.close(t)
		for range rapid.IntRange(20, 50).Draw(t, "steps") {
			switch rapid.IntRange(0, 11).Draw(t, "step") {
			case 0:
				b.arrive(t)
			case 1:
				if s := b.screen(t); s != nil {
					s.leave(t)
				}
			case 2:
				b.publish(t)
			default:
				b.mutate(t)
			}
		}
		b.finish(t)
	})
}

var (
	rooms    = rapid.SampledFrom([]string{"orders/1", "orders/2", "tables/1"})
	hidings  = rapid.SampledFrom([]string{"cost", "lines.cost", "lines.*.cost", "customer", "customer.phone", "customer.*", "*.cost", "a.b.cost"})
	covers   = rapid.SampledFrom([]string{"**", "**", "orders/*", "orders/1"})
	jobs     = rapid.SampledFrom([]string{"boss", "cook", "waiter"})
	members  = rapid.SampledFrom([]string{"a", "b", "cost", "customer", "lines", "phone"})
	ops      = rapid.SampledFrom([]roxy.Op{roxy.Put, roxy.Put, roxy.Put, roxy.Patch, roxy.Patch, roxy.Patch, roxy.Patch, roxy.Delete})
	guards   = rapid.SampledFrom([]roxy.Guard{roxy.GuardNone, roxy.GuardNone, roxy.GuardVersion, roxy.GuardFields})
	scalars  = rapid.SampledFrom([]any{nil, true, "", "text", json.Number("1"), json.Number("1.0"), json.Number("1e400")})
	identity = rapid.Custom(func(t *rapid.T) roxy.Identity {
		everything := []roxy.Pattern{pattern(t, "**")}
		return roxy.Identity{
			Tenant: "bar", User: names.Draw(t, "user"), Roles: sorted(rapid.SliceOfN(jobs, 0, 2).Draw(t, "roles")),
			Grant: roxy.Grant{Read: everything, Write: everything, Publish: everything},
		}
	})
)

// anything generates what a member may be.
func anything(depth int) *rapid.Generator[any] {
	if depth == 0 {
		return scalars
	}
	return rapid.Custom(func(t *rapid.T) any {
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 0, 1:
			return rapid.MapOfN(members, anything(depth-1), 0, 4).Draw(t, "object")
		case 2:
			return rapid.SliceOfN(anything(depth-1), 0, 3).Draw(t, "array")
		}
		return scalars.Draw(t, "scalar")
	})
}

// bar is a hub, and what is true of it.
type bar struct {
	hub     *Hub
	engine  *disk.Engine
	life    map[string][]engine.State // topic → its states, version 0 first
	data    map[uint64][]byte         // offset → what was published
	screens []*screen
}

func newBar(t *rapid.T) *bar {
	var rules []FieldRule
	for range rapid.IntRange(1, 4).Draw(t, "rules") {
		path, err := roxy.ParseFieldPath(hidings.Draw(t, "path"))
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, FieldRule{Pattern: pattern(t, covers.Draw(t, "pattern")), Path: path, Roles: rapid.SliceOfN(jobs, 0, 2).Draw(t, "seen by")})
	}
	e, err := disk.Open("log", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	h, err := Start(context.Background(), e, Options{QueueEvents: 4, Fields: rules})
	if err != nil {
		t.Fatal(err)
	}
	return &bar{hub: h, engine: e, life: make(map[string][]engine.State), data: make(map[uint64][]byte)}
}

func (b *bar) close(t *rapid.T) {
	for _, s := range b.screens {
		if s.stop != nil {
			s.stop()
		}
	}
	if err := b.hub.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := b.engine.Close(); err != nil {
		t.Error(err)
	}
}

// hidden is what roles do not see on a topic, told from the rules alone.
func (b *bar) hidden(roles []string, topic roxy.Topic) *document.Hidden {
	var paths []roxy.FieldPath
	for _, r := range b.hub.opts.Fields {
		if r.Pattern.Matches(topic) && !slices.ContainsFunc(roles, func(role string) bool { return slices.Contains(r.Roles, role) }) {
			paths = append(paths, r.Path)
		}
	}
	return document.NewHidden(paths...)
}

// now is the last state of a topic.
func (b *bar) now(topic roxy.Topic) engine.State {
	life := b.life[topic.String()]
	if len(life) == 0 {
		life = []engine.State{{Entity: roxy.Entity{Topic: topic}}}
		b.life[topic.String()] = life
	}
	return life[len(life)-1]
}

// mutate has somebody change one to three entities, all or none.
func (b *bar) mutate(t *rapid.T) {
	by := identity.Draw(t, "by")
	if rapid.IntRange(0, 3).Draw(t, "author") > 0 {
		by.Roles = []string{"boss", "cook", "waiter"} // who may send most things
	}
	var asked []roxy.Mutation
	for _, name := range rapid.SliceOfNDistinct(rooms, 1, rapid.SampledFrom([]int{1, 1, 3}).Draw(t, "at most"), rapid.ID[string]).Draw(t, "topics") {
		topic, _ := pattern(t, name).Topic()
		m := roxy.Mutation{Topic: topic, Op: ops.Draw(t, "op"), Guard: guards.Draw(t, "guard"), Device: rapid.SampledFrom([]string{"", "tablet"}).Draw(t, "device")}
		if m.Guard != roxy.GuardNone {
			m.Base = b.now(topic).Version - min(b.now(topic).Version, rapid.SampledFrom([]uint64{0, 0, 0, 1, 2}).Draw(t, "behind"))
		}
		if m.Op != roxy.Delete {
			m.Data = b.content(t, by, &m)
		}
		asked = append(asked, m)
	}
	_, err := b.hub.Mutate(context.Background(), by, asked)
	if p := (*roxy.Problem)(nil); err != nil && (!errors.As(err, &p) || p.Code == roxy.Overloaded) {
		t.Fatal(err)
	}
	for i := range asked {
		m := &asked[i]
		was := b.now(m.Topic)
		is, readErr := b.engine.Entity(context.Background(), "bar", m.Topic)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			if is.Version != was.Version || !bytes.Equal(is.Data, was.Data) {
				t.Fatalf("%s was refused (%v) and changed from %s to %s", m.Topic, err, was.Data, is.Data)
			}
			continue
		}
		if is.Version != was.Version+1 {
			t.Fatalf("%s went from version %d to %d", m.Topic, was.Version, is.Version)
		}
		b.life[m.Topic.String()] = append(b.life[m.Topic.String()], engine.State{Entity: is})
		b.authorGotItsWay(t, by, m, was.Data, is.Data)
	}
}

// authorGotItsWay holds a commit against what its author meant, as the author sees it.
func (b *bar) authorGotItsWay(t *rapid.T, by roxy.Identity, m *roxy.Mutation, was, is []byte) {
	hidden := b.hidden(by.Roles, m.Topic)
	var want []byte
	switch m.Op {
	case roxy.Put:
		want = hidden.Redact(m.Data)
	case roxy.Patch:
		want = hidden.Redact(document.Merge(hidden.Redact(was), m.Data))
	case roxy.Delete:
		if is != nil {
			t.Fatalf("%s was deleted and is %s", m.Topic, is)
		}
		return
	}
	if got := hidden.Redact(is); !bytes.Equal(got, want) {
		t.Fatalf("%v sent %s %s on %s and then sees %s, want %s", by.Roles, m.Op, m.Data, was, got, want)
	}
}

// content makes up what a mutation brings: often close to what is there.
func (b *bar) content(t *rapid.T, by roxy.Identity, m *roxy.Mutation) []byte {
	object := map[string]any{}
	switch seen := b.hidden(by.Roles, m.Topic).Redact(b.now(m.Topic).Data); rapid.IntRange(0, 3).Draw(t, "content") {
	case 0:
		object = rapid.MapOfN(members, anything(3), 0, 4).Draw(t, "object")
	case 1:
		object = order.Draw(t, "order")
	default: // a member here and there is another one
		if seen != nil && m.Op == roxy.Put {
			object = plain(t, seen).(map[string]any)
		}
		for range rapid.IntRange(1, 2).Draw(t, "changes") {
			at := object
			for range rapid.IntRange(0, 2).Draw(t, "depth") {
				if inner, ok := at[members.Draw(t, "within")].(map[string]any); ok {
					at = inner
				}
			}
			at[members.Draw(t, "member")] = anything(1).Draw(t, "value")
		}
	}
	raw, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	form := document.Document
	if m.Op == roxy.Patch {
		form = document.Patch
	}
	doc, err := form(raw)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// order generates what has something at most of the places that are hidden.
var order = rapid.Custom(func(t *rapid.T) map[string]any {
	line := rapid.Custom(func(t *rapid.T) any {
		return map[string]any{"a": scalars.Draw(t, "a"), "cost": scalars.Draw(t, "cost")}
	})
	lines := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(line, 0, 2), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(members, line, 0, 2), func(l map[string]any) any { return l }),
	)
	return map[string]any{
		"a": scalars.Draw(t, "a"), "cost": scalars.Draw(t, "cost"), "lines": lines.Draw(t, "lines"),
		"customer": map[string]any{"a": scalars.Draw(t, "name"), "phone": scalars.Draw(t, "phone")},
	}
})

// publish has somebody publish any JSON on the topic of an entity.
func (b *bar) publish(t *rapid.T) {
	topic, _ := pattern(t, rooms.Draw(t, "topic")).Topic()
	raw, err := json.Marshal(anything(3).Draw(t, "data"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := document.Patch(raw)
	if err != nil {
		t.Fatal(err)
	}
	published, err := b.hub.Publish(context.Background(), identity.Draw(t, "by"), []roxy.Event{{Topic: topic, Data: data}})
	if err != nil {
		t.Fatal(err)
	}
	b.data[published[0].Cursor.Offset] = data
}

// screen is a subscriber that keeps entities as a client does.
type screen struct {
	bar      *bar
	sub      Subscription
	entities map[string]shown
	cursor   *roxy.Cursor
	recorder *recorder
	stop     func() // nil while it is away
}

// shown is an entity as a screen has it: plain values, merged by a merge of its own.
type shown struct {
	version uint64
	data    any // nil: deleted
}

// arrive has a new screen come, or one that was away come back.
func (b *bar) arrive(t *rapid.T) {
	for _, s := range b.screens {
		if s.stop == nil {
			s.connect()
			return
		}
	}
	s := &screen{bar: b, entities: make(map[string]shown), sub: Subscription{
		Identity: identity.Draw(t, "screen"), Patterns: []roxy.Pattern{pattern(t, "**")},
		Heartbeat: 1 << 40, Encoding: lineEncoding{}, Transport: "test", Gzip: rapid.Bool().Draw(t, "gzip"),
	}}
	s.sub.Snapshot = rapid.IntRange(0, 3).Draw(t, "snapshot") > 0
	s.sub.Earliest = !s.sub.Snapshot
	b.screens = append(b.screens, s)
	s.connect()
}

// screen returns one that is there.
func (b *bar) screen(t *rapid.T) *screen {
	there := slices.DeleteFunc(slices.Clone(b.screens), func(s *screen) bool { return s.stop == nil })
	if len(there) == 0 {
		return nil
	}
	return there[rapid.IntRange(0, len(there)-1).Draw(t, "leaves")]
}

func (s *screen) connect() {
	sub := s.sub
	if s.cursor != nil {
		sub.After, sub.Earliest = s.cursor, false
	}
	s.recorder = newRecorder()
	s.recorder.gzip = sub.Gzip
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.bar.hub.Subscribe(ctx, sub, s.recorder); err != nil && ctx.Err() == nil {
			panic(err)
		}
	})
	s.stop = func() { cancel(); running.Wait() }
}

// leave cuts the stream wherever it is, and takes in what it was given.
func (s *screen) leave(t *rapid.T) {
	s.stop()
	s.stop = nil
	lines := s.recorder.lines()
	fresh, live := make(map[string]shown), false
	for _, line := range lines {
		if strings.HasPrefix(line, "C roxy:live") {
			live = true
		}
	}
	for _, line := range lines {
		if entity, ok := strings.CutPrefix(line, "E 0 roxy:entity "); ok {
			s.snapshotted(t, fresh, entity)
		}
	}
	if s.cursor == nil && s.sub.Snapshot {
		s.entities = fresh
		if !live {
			return // cut within the snapshot: nothing of it counts
		}
	}
	for _, line := range lines {
		if c, ok := cursorOf(line, lines[0]); ok && c.Offset > 0 || ok && strings.HasPrefix(line, "C ") {
			s.cursor = &c
		}
		if strings.HasPrefix(line, "E ") && !strings.HasPrefix(line, "E 0 ") {
			s.take(t, line)
		}
	}
}

type heard struct {
	Topic   string          `json:"topic"`
	Op      string          `json:"op"`
	Version uint64          `json:"version"`
	Base    uint64          `json:"base"`
	Patch   json.RawMessage `json:"patch"`
	Data    json.RawMessage `json:"data"`
}

func (s *screen) snapshotted(t *rapid.T, into map[string]shown, text string) {
	e := parse[heard](t, text)
	if _, again := into[e.Topic]; again {
		t.Fatalf("the snapshot holds %s twice", e.Topic)
	}
	into[e.Topic] = shown{e.Version, plain(t, e.Data)}
	s.compare(t, e.Topic, into[e.Topic])
}

// take applies one event as a client does.
func (s *screen) take(t *rapid.T, line string) {
	var offset uint64
	var eventType string
	if _, err := fmt.Sscanf(line, "E %d %s ", &offset, &eventType); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	e := parse[heard](t, line[strings.Index(line, "{"):])
	topic, _ := pattern(t, e.Topic).Topic()
	hidden := s.bar.hidden(s.sub.Identity.Roles, topic)
	if data, published := s.bar.data[offset]; published {
		if want := redactData(data, hidden); !bytes.Equal(e.Data, want) {
			t.Fatalf("%v hears %s of %s, want %s", s.sub.Identity.Roles, e.Data, data, want)
		}
		return
	}
	have, known := s.entities[e.Topic]
	switch {
	case e.Base != e.Version-1:
		t.Fatalf("%s: base of version %d is %d", e.Topic, e.Version, e.Base)
	case known && e.Version <= have.version:
		return // in the snapshot already
	case known && e.Base != have.version, !known && s.bar.life[e.Topic][e.Base].Exists():
		t.Fatalf("%s: version %d comes behind version %d", e.Topic, e.Version, have.version)
	}
	next := shown{version: e.Version}
	if e.Op != "delete" {
		next.data = merged(have.data, plain(t, e.Patch))
		was, is := s.bar.life[e.Topic][e.Base].Data, s.bar.life[e.Topic][e.Version].Data
		smallest := document.Diff(redacted(hidden, was), hidden.Redact(is), nil)
		if smallest == nil {
			smallest = []byte("{}")
		}
		if !bytes.Equal(smallest, e.Patch) {
			t.Fatalf("%v hear of version %d of %s as %s, and %s would do", s.sub.Identity.Roles, e.Version, e.Topic, e.Patch, smallest)
		}
	}
	s.entities[e.Topic] = next
	s.compare(t, e.Topic, next)
}

func redacted(h *document.Hidden, doc []byte) []byte {
	if doc == nil {
		return nil
	}
	return h.Redact(doc)
}

// compare holds what a screen shows against what there was at that version.
func (s *screen) compare(t *rapid.T, name string, have shown) {
	life := s.bar.life[name]
	if have.version >= uint64(len(life)) {
		t.Fatalf("%s has version %d and there are %d", name, have.version, len(life)-1)
	}
	topic, _ := pattern(t, name).Topic()
	want := any(nil)
	if is := life[have.version]; is.Exists() {
		want = plain(t, s.bar.hidden(s.sub.Identity.Roles, topic).Redact(is.Data))
	}
	if !reflect.DeepEqual(have.data, want) {
		t.Fatalf("%v have version %d of %s as %v, want %v", s.sub.Identity.Roles, have.version, name, have.data, want)
	}
}

// finish waits until all have heard all, and compares.
func (b *bar) finish(t *rapid.T) {
	topic, _ := pattern(t, "end").Topic()
	by := roxy.Identity{Tenant: "bar", User: "end", Grant: roxy.Grant{Publish: []roxy.Pattern{pattern(t, "**")}}}
	published, err := b.hub.Publish(context.Background(), by, []roxy.Event{{Topic: topic}})
	if err != nil {
		t.Fatal(err)
	}
	end := published[0].Cursor.Offset
	b.data[end] = []byte("null")
	for _, s := range b.screens {
		if s.stop == nil {
			s.connect()
		}
		s.awaitOffset(t, end)
		s.leave(t)
		for topic, life := range b.life {
			last := life[len(life)-1]
			if have := s.entities[topic]; have.version != last.Version && (last.Exists() || have.data != nil) {
				t.Fatalf("%s is at version %d, and %v have version %d", topic, last.Version, s.sub.Identity.Roles, have.version)
			}
		}
	}
}

// awaitOffset returns when the stream was given that, or is live behind it.
func (s *screen) awaitOffset(t *rapid.T, offset uint64) {
	timeout := time.After(20 * time.Second)
	for {
		s.recorder.mu.Lock()
		moved := s.recorder.moved
		s.recorder.mu.Unlock()
		lines := s.recorder.lines()
		if slices.ContainsFunc(lines, func(line string) bool {
			c, ok := cursorOf(line, lines[0])
			return ok && c.Offset >= offset && !strings.HasPrefix(line, "C roxy:hello")
		}) {
			return
		}
		select {
		case <-moved:
		case <-timeout:
			t.Fatalf("offset %d did not come within 20 s; %v", offset, lines)
		}
	}
}

func parse[T any](t *rapid.T, text string) (v T) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// plain reads JSON into values, numbers as they are spelled.
func plain(t *rapid.T, text []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// merged is RFC 7396, as its section 2 has it.
func merged(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object = maps.Clone(object)
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merged(object[name], value)
		}
	}
	return object
}
