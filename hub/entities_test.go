package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/document"
)

func topic(t testing.TB, s string) roxy.Topic {
	t.Helper()
	parsed, err := roxy.ParseTopic(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// secrets are rules that hide customer.phone and cost of orders from all but managers.
func secrets(t testing.TB) []FieldRule {
	t.Helper()
	return []FieldRule{rule(t, "orders/*", "customer.phone", "manager"), rule(t, "orders/*", "cost", "manager")}
}

func rule(t testing.TB, on, path string, roles ...string) FieldRule {
	t.Helper()
	field, err := roxy.ParseFieldPath(path)
	if err != nil {
		t.Fatal(err)
	}
	return FieldRule{Pattern: pattern(t, on), Path: field, Roles: roles}
}

func put(t testing.TB, at, data string) roxy.Mutation {
	t.Helper()
	return roxy.Mutation{Op: roxy.Put, Topic: topic(t, at), Data: []byte(data), Guard: roxy.GuardNone}
}

func (f fixture) mutate(t testing.TB, by roxy.Identity, mutations ...roxy.Mutation) []roxy.MutationResult {
	t.Helper()
	results, err := f.Mutate(t.Context(), by, mutations)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// markedEncoding spells events as lineEncoding does, and begins the hub's own with the cursor that they move to.
type markedEncoding struct{ lineEncoding }

func (markedEncoding) AppendControl(dst []byte, c Control) []byte {
	data, err := json.Marshal(c.Data)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(dst, "C %s @%s %s\n", c.Type, cursorText(c.Cursor), data)
}

// replica is what a client makes of a stream that begins with a snapshot, by the rules of docs/protocol.md §6.
type replica struct {
	held     map[string]*copied
	entities int // of the last snapshot
	live     int // how often it was said
	resets   int
	err      error
}

type copied struct {
	version uint64
	seen    map[uint64]string // each version that it had; "" for a deletion
}

// told is the JSON of events and entities.
type told struct {
	Topic   string
	Version uint64
	Base    uint64
	Op      roxy.Op
	Patch   json.RawMessage
	Data    json.RawMessage
}

func replay(lines []string) *replica {
	r := &replica{held: make(map[string]*copied)}
	for _, l := range lines {
		if r.err == nil {
			r.take(l)
		}
	}
	return r
}

func (r *replica) take(line string) {
	switch fields := strings.SplitN(line, " ", 4); {
	case strings.HasPrefix(line, "C roxy:reset"):
		r.held, r.entities = make(map[string]*copied), 0
		r.resets++
	case strings.HasPrefix(line, "C roxy:live"):
		r.live++
	case fields[0] == "E" && len(fields) == 4:
		var e told
		if err := json.Unmarshal([]byte(fields[3]), &e); err != nil {
			r.err = fmt.Errorf("%s: %w", line, err)
			return
		}
		if fields[2] == "roxy:entity" {
			r.entities++
			r.held[e.Topic] = &copied{e.Version, map[uint64]string{e.Version: string(e.Data)}}
		} else if e.Op != "" {
			r.change(&e)
		}
	}
}

func (r *replica) change(e *told) {
	c := r.held[e.Topic]
	if c == nil {
		c = &copied{seen: make(map[uint64]string)}
		r.held[e.Topic] = c
		if e.Base != 0 && e.Op == roxy.Put { // a tombstone is in no snapshot; what is created on it is told whole
			c.version = e.Base
		}
	}
	switch {
	case e.Version <= c.version:
	case e.Base != c.version:
		r.err = fmt.Errorf("%s is at version %d, and what comes leads from %d to %d", e.Topic, c.version, e.Base, e.Version)
	default:
		before := c.seen[c.version]
		c.version = e.Version
		if e.Op == roxy.Delete {
			c.seen[e.Version] = ""
			return
		}
		if before == "" {
			before = "{}"
		}
		c.seen[e.Version] = string(document.Merge([]byte(before), e.Patch))
	}
}

// history is each version of each entity, by a model that knows objects and no bytes.
type history struct {
	mu       sync.Mutex // for versions; writers hold the lock of an entity meanwhile
	versions map[string][]map[string]any
}

// write commits one random mutation of an entity, and puts what it makes into the history.
func (h *history) write(t *testing.T, f fixture, by roxy.Identity, at roxy.Topic, random *rand.Rand) {
	t.Helper()
	h.mu.Lock()
	var now map[string]any
	if n := len(h.versions[at.String()]); n > 0 {
		now = h.versions[at.String()][n-1]
	}
	h.mu.Unlock()
	m := roxy.Mutation{Topic: at, Guard: roxy.GuardNone, Op: roxy.Put}
	next := map[string]any{}
	change := map[string]any{}
	for range 1 + random.IntN(3) {
		name := []string{"a", "b", "c", "cost"}[random.IntN(4)]
		change[name] = float64(random.IntN(5))
	}
	if random.IntN(2) == 0 {
		change["customer"] = map[string]any{"phone": fmt.Sprint(random.IntN(3))}
		if random.IntN(2) == 0 {
			change["customer"] = map[string]any{"phone": fmt.Sprint(random.IntN(3)), "name": fmt.Sprint(random.IntN(3))}
		}
	}
	switch kind := random.IntN(10); {
	case now == nil || kind < 3:
		next = change
	case kind < 9:
		m.Op = roxy.Patch
		maps.Copy(next, now)
		for name, value := range change {
			if random.IntN(4) == 0 {
				change[name] = nil
				delete(next, name)
				continue
			}
			next[name] = value
			if inner, ok := value.(map[string]any); ok {
				merged := map[string]any{}
				if old, ok := now[name].(map[string]any); ok {
					maps.Copy(merged, old)
				}
				maps.Copy(merged, inner)
				next[name] = merged
			}
		}
	default:
		m.Op, next = roxy.Delete, nil
	}
	if m.Op != roxy.Delete {
		m.Data, _ = json.Marshal(change)
	}
	results, err := f.Mutate(t.Context(), by, []roxy.Mutation{m})
	if err != nil {
		t.Error(err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.versions[at.String()] = append(h.versions[at.String()], next)
	if got := results[0].Version; got != uint64(len(h.versions[at.String()])) {
		t.Errorf("%s: version %d, want %d", at, got, len(h.versions[at.String()]))
	}
}

// view is what of one version a manager sees, or who is none; "" for a deletion.
func view(now map[string]any, manager bool) string {
	if now == nil {
		return ""
	}
	shown := maps.Clone(now)
	if !manager {
		delete(shown, "cost")
		if customer, ok := shown["customer"].(map[string]any); ok {
			customer = maps.Clone(customer)
			delete(customer, "phone")
			shown["customer"] = customer
			if len(customer) == 0 {
				delete(shown, "customer")
			}
		}
	}
	text, _ := json.Marshal(shown)
	return string(text)
}

// check holds what a stream gave against the history.
func (h *history) check(t *testing.T, who string, r *replica, manager bool) {
	t.Helper()
	if r.err != nil {
		t.Errorf("%s: %v", who, r.err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for at, versions := range h.versions {
		c := r.held[at]
		if c == nil { // nothing to see since before the stream
			if versions[len(versions)-1] != nil {
				t.Errorf("%s has nothing of %s", who, at)
			}
			continue
		}
		if c.version != uint64(len(versions)) {
			t.Errorf("%s has %s at version %d of %d", who, at, c.version, len(versions))
		}
		for version, got := range c.seen {
			if want := view(versions[version-1], manager); got != want {
				t.Errorf("%s has %s at version %d as %s, want %s", who, at, version, got, want)
			}
		}
	}
}

// Writers write while streams of two views come, some of which fall behind again and again. Each has every entity as it is at
// every version from its snapshot on, and what can be read at the end is what all of them hold.
func TestSnapshotAndTailGiveEveryVersionWhileOthersWrite(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t), QueueEvents: 8})
	boss, waiter := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter")
	h := &history{versions: make(map[string][]map[string]any)}
	const writers, rounds, each = 4, 150, 4
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 7))
			for range rounds {
				h.write(t, f, boss, topic(t, fmt.Sprintf("orders/%d", w*each+random.IntN(each))), random)
			}
		})
	}
	type viewer struct {
		r       *recorder
		manager bool
	}
	var viewers []viewer
	for i := range 16 {
		who, manager := waiter, i%2 == 0
		if manager {
			who = boss
		}
		r, _ := f.subscribe(t, Subscription{Identity: who, Patterns: []roxy.Pattern{pattern(t, "orders/*")}, Snapshot: true})
		viewers = append(viewers, viewer{r, manager})
		r.awaitLine(t, "C roxy:live")
		if i%3 == 0 { // its class overflows meanwhile
			letGo := r.hold()
			f.publish(t, boss, event(t, "orders/1", "1"), event(t, "orders/1", "2"))
			letGo()
		}
	}
	writing.Wait()
	end := f.publish(t, boss, event(t, "orders/end", "true"))[0].Cursor.Offset
	for i, v := range viewers {
		lines := v.r.await(t, "the end", func(lines []string) bool {
			return strings.HasPrefix(lines[len(lines)-1], fmt.Sprintf("E %d ", end))
		})
		h.check(t, fmt.Sprintf("stream %d", i), replay(lines), v.manager)
	}
	for at, versions := range h.versions {
		for who, manager := range map[*roxy.Identity]bool{&boss: true, &waiter: false} {
			e, _, err := f.Entity(t.Context(), *who, topic(t, at))
			want := view(versions[len(versions)-1], manager)
			if want == "" {
				problem(t, err, roxy.NotFound, "topic")
			} else if err != nil || string(e.Data) != want || e.Version != uint64(len(versions)) {
				t.Errorf("%s is %s at %d, %v; want %s at %d", at, e.Data, e.Version, err, want, len(versions))
			}
		}
	}
}

func TestPublishedDataIsRedactedOnTopicsWithRules(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t)})
	boss, waiter := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter")
	const data = `{"z":1.0,"cost":3,"customer":{"phone":"1"},"list":[{"cost":4}]}`
	ephemeral := event(t, "orders/1", data)
	ephemeral.Ephemeral = true
	sub := func(who roxy.Identity) Subscription {
		return Subscription{Identity: who, Patterns: []roxy.Pattern{pattern(t, "**")}, Earliest: true}
	}
	f.publish(t, boss, event(t, "orders/1", data), event(t, "tables/1", data))
	sees, _ := f.subscribe(t, sub(boss))
	doesNot, _ := f.subscribe(t, sub(waiter))
	sees.awaitLine(t, "C roxy:live")
	doesNot.awaitLine(t, "C roxy:live")
	f.publish(t, boss, event(t, "orders/1", data), event(t, "orders/1", `"cost"`), event(t, "tables/1", data), event(t, "orders/1", "null"))
	sees.awaitLine(t, "E 6 ")
	doesNot.awaitLine(t, "E 6 ")
	f.publish(t, boss, ephemeral) // it overtakes what is on its way to the disk, and so comes last
	const redacted = `{"list":[{"cost":4}],"z":1.0}`
	for r, want := range map[*recorder][]string{
		sees:    {data, data, data, `"cost"`, data, "null", data},
		doesNot: {redacted, data, redacted, `"cost"`, data, "null", redacted},
	} {
		lines := r.await(t, "all", func(l []string) bool { _, d := events(l); return len(d) == len(want) })
		if _, got := events(lines); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestHiddenFieldsAreNeitherWrittenNorGuessed(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t)})
	boss, waiter := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter")
	f.mutate(t, boss, put(t, "orders/1", `{"a":1,"cost":3}`))
	for name, m := range map[string]roxy.Mutation{
		"data.cost":           put(t, "orders/1", `{"cost":3}`),
		"data.customer.phone": put(t, "orders/9", `{"customer":{"phone":null}}`),
		"data.customer":       put(t, "orders/9", `{"customer":[]}`),
		"patch.cost":          {Op: roxy.Patch, Topic: topic(t, "orders/1"), Data: []byte(`{"cost":null}`), Guard: roxy.GuardNone},
	} {
		_, err := f.Mutate(t.Context(), waiter, []roxy.Mutation{m})
		problem(t, err, roxy.Forbidden, name)
	}
	// A change of hidden fields alone clashes with nobody who does not see them, and counts for the version all the same.
	f.mutate(t, boss, roxy.Mutation{Op: roxy.Patch, Topic: topic(t, "orders/1"), Data: []byte(`{"cost":4}`), Guard: roxy.GuardNone})
	for _, op := range []roxy.Mutation{
		{Op: roxy.Put, Topic: topic(t, "orders/1"), Data: []byte(`{"a":2}`), Guard: roxy.GuardFields, Base: 1},
		{Op: roxy.Delete, Topic: topic(t, "orders/1"), Guard: roxy.GuardFields, Base: 3},
	} {
		f.mutate(t, waiter, op)
	}
	if _, err := f.Mutate(t.Context(), waiter, []roxy.Mutation{{Op: roxy.Put, Topic: topic(t, "orders/1"), Data: []byte(`{}`), Guard: roxy.GuardVersion, Base: 2}}); err == nil {
		t.Error("a version of before the deletion passed")
	} else {
		problem(t, err, roxy.VersionConflict, "base")
	}
}

// A list is of one moment, in the caller's view.
func TestEntitiesOfAPageAreThoseOfItsCursor(t *testing.T) {
	f := startQuick(t, Options{Fields: secrets(t)})
	boss, waiter := all(t, "bar", "u1", "manager"), all(t, "bar", "u2", "waiter")
	var batch []roxy.Mutation
	for i := range 7 {
		batch = append(batch, put(t, fmt.Sprintf("orders/%d", i), `{"cost":1,"n":1}`))
	}
	f.mutate(t, boss, batch...)
	first, cursor, more, err := f.Entities(t.Context(), waiter, pattern(t, "orders/*"), roxy.Topic{}, 4)
	if err != nil || !more || len(first) != 4 || cursor.Offset != 7 {
		t.Fatalf("%d entities, more %v, at %s, %v", len(first), more, cursor, err)
	}
	rest, _, more, err := f.Entities(t.Context(), waiter, pattern(t, "orders/*"), first[3].Topic, 4)
	if err != nil || more || len(rest) != 3 {
		t.Fatalf("%d entities, more %v, %v", len(rest), more, err)
	}
	for i, e := range append(first, rest...) {
		if e.Topic != batch[i].Topic || !bytes.Equal(e.Data, []byte(`{"n":1}`)) || e.Version != 1 {
			t.Errorf("got %+v", e)
		}
	}
	_, _, _, err = f.Entities(t.Context(), roxy.Identity{Tenant: "bar", User: "u3"}, pattern(t, "orders/*"), roxy.Topic{}, 4)
	problem(t, err, roxy.Forbidden, "match")
}
