package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/fanout"
)

// startPresence runs a presence until the test ends.
func startPresence(t *testing.T, grace time.Duration) *presence {
	t.Helper()
	p, err := newPresence(grace)
	if err != nil {
		t.Fatal(err)
	}
	go p.run(t.Context())
	return p
}

func visitor(t *testing.T, tenant, user, device string, patterns ...string) *Subscription {
	t.Helper()
	sub := &Subscription{Identity: roxy.Identity{Tenant: tenant, User: user}, Device: device, Transport: "test"}
	for _, s := range patterns {
		sub.Patterns = append(sub.Patterns, pattern(t, s))
	}
	return sub
}

// held is what a watcher knows by the rule of docs/protocol.md §9: the first part of a list replaces all, everything else
// changes it.
type held map[Present]bool

func key(user, device string) Present { return Present{User: user, Device: device} }

func (h held) list(l PresenceList) {
	if l.Part == 1 {
		clear(h)
	}
	for _, d := range l.Present {
		h[key(d.User, d.Device)] = true
	}
}

// change applies one, and fails on a change that is none and a wrong count of the user's other devices.
func (h held) change(t *testing.T, c PresenceChange) {
	t.Helper()
	for _, d := range c.Joined {
		if k := key(d.User, d.Device); h[k] {
			t.Errorf("%v joined twice", k)
		} else {
			h[k] = true
		}
		if want := h.devices(d.User) - 1; d.Others != want {
			t.Errorf("%s joined by %q with %d others, want %d", d.User, d.Device, d.Others, want)
		}
	}
	for _, d := range c.Left {
		if k := key(d.User, d.Device); !h[k] {
			t.Errorf("%v left twice", k)
		} else {
			delete(h, k)
		}
		if want := h.devices(d.User); d.Others != want {
			t.Errorf("%s left by %q with %d others, want %d", d.User, d.Device, d.Others, want)
		}
	}
}

func (h held) devices(user string) (n int) {
	for k := range h {
		if k.User == user {
			n++
		}
	}
	return n
}

// take applies a line of a lineEncoding, and reports whether it told of presence.
func (h held) take(t *testing.T, line string) bool {
	t.Helper()
	text, ok := strings.CutPrefix(line, "C "+presenceType+" ")
	if !ok {
		return false
	}
	var told struct {
		PresenceList
		PresenceChange
	}
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if told.Parts > 0 {
		h.list(told.PresenceList)
	} else {
		h.change(t, told.PresenceChange)
	}
	return true
}

// watching is a watcher with what it holds.
type watching struct {
	held
	*watcher
	visit   *visit
	reader  *fanout.Reader
	batches int
}

func (p *presence) watching(t *testing.T, v *visit) *watching {
	t.Helper()
	w := &watching{held: held{}, visit: v, reader: fanout.NewLog(fanout.Limits{Bytes: 1 << 20, Frames: 1000}).Join()}
	var list []Present
	w.watcher, list = p.watch(v, w.reader, presenceForm{encoding: lineEncoding{}})
	w.list(PresenceList{Present: list, Part: 1, Parts: 1})
	return w
}

// hear applies what has come.
func (w *watching) hear(t *testing.T) {
	t.Helper()
	for {
		batch, ok := w.reader.Next()
		if !ok {
			t.Fatal("the watcher was cut")
		}
		if len(batch.Bytes) == 0 {
			return
		}
		w.batches++
		if line := string(bytes.TrimSuffix(batch.Bytes, []byte("\n"))); !w.take(t, line) {
			t.Fatalf("a watcher was told %s", line)
		}
	}
}

// present is what attendance tells of the bar, as a watcher would hold it.
func (p *presence) present(topic roxy.Topic) held {
	h := held{}
	for _, u := range p.attendance("bar", topic, "", 1<<20).Users {
		for _, d := range u.Devices {
			h[key(u.User, d.Device)] = true
		}
	}
	return h
}

// kept counts what p holds.
func (p *presence) kept() (tenants, departed, dirty int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.tenants), p.departed.Len(), len(p.dirty)
}

func TestPresenceLastsForTheGraceAndNotLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPresence(t, 20*time.Second)
		watcher := p.watching(t, p.arrive(visitor(t, "bar", "manager", "", "roxy/presence")))
		began := time.Now().UTC()
		ann := p.arrive(visitor(t, "bar", "ann", "tablet", "orders/*"))
		flap := func(away time.Duration) {
			time.Sleep(time.Minute)
			p.depart(ann)
			time.Sleep(away)
			ann = p.arrive(visitor(t, "bar", "ann", "tablet", "orders/*"))
			time.Sleep(time.Second)
			watcher.hear(t)
		}
		flap(19 * time.Second)
		flap(0)
		if watcher.batches != 1 || !watcher.held[key("ann", "tablet")] {
			t.Errorf("%d events of somebody whose Wi-Fi is bad, want the one of her coming", watcher.batches)
		}
		device := p.attendance("bar", roxy.Topic{}, "", 10).Users[0].Devices[0]
		if !device.Since.Equal(began) || !device.Connected || device.Transport != "test" {
			t.Errorf("got %+v, want connected since %s", device, began)
		}

		p.depart(ann)
		time.Sleep(20*time.Second - time.Millisecond)
		if device = p.attendance("bar", roxy.Topic{}, "", 10).Users[0].Devices[0]; device.Connected || device.Transport != "" {
			t.Errorf("got %+v of somebody within the grace, want not connected", device)
		}
		time.Sleep(2 * time.Millisecond)
		if now := p.present(roxy.Topic{}); now[key("ann", "tablet")] {
			t.Error("present beyond the grace")
		}
		time.Sleep(presenceWindow)
		watcher.hear(t)
		if watcher.batches != 2 || watcher.held[key("ann", "tablet")] {
			t.Errorf("%d events, holding %v: want the second to say that ann left", watcher.batches, watcher.held)
		}
		if c := p.stats(); c != (presenceCounts{users: 1, devices: 1, joined: 2, left: 1}) {
			t.Errorf("counted %+v", c)
		}
	})
}

func TestPresenceOfATopicIsThatOfWhoHearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPresence(t, 20*time.Second)
		p.arrive(visitor(t, "bar", "ann", "tablet", "orders/*"))
		phone := p.arrive(visitor(t, "bar", "ann", "phone", "menu/**"))
		p.arrive(visitor(t, "bar", "bob", "", "menu/**"))
		p.arrive(visitor(t, "pub", "cyd", "", "menu/**"))
		p.arrive(visitor(t, "bar", "dee", "waits")) // a socket without a subscription
		p.arrive(visitor(t, "$canary", "eve", "", "**"))
		p.depart(phone) // and it is back with other topics
		p.arrive(visitor(t, "bar", "ann", "phone", "tables/*"))
		for topicName, want := range map[string][]Present{
			"orders/1": {key("ann", "tablet")},
			"menu/a":   {key("ann", "phone"), key("bob", "")},
			"tables/1": {key("ann", "phone")},
			"calls/1":  nil,
		} {
			got := slices.Collect(maps.Keys(p.present(topic(t, topicName))))
			slices.SortFunc(got, func(a, b Present) int { return strings.Compare(a.User, b.User) })
			if !slices.Equal(got, want) {
				t.Errorf("at %s: %v, want %v", topicName, got, want)
			}
		}
		time.Sleep(21 * time.Second)
		if got := p.present(topic(t, "menu/a")); !maps.Equal(got, held{key("bob", ""): true}) {
			t.Errorf("at menu/a after the grace: %v, want bob", got)
		}
	})
}

func TestMassReturnIsOneEventForEachWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPresence(t, 20*time.Second)
		const tablets = 150 // that fit into one event
		var all []*watching
		for i := range tablets {
			v := p.arrive(visitor(t, "bar", "u", fmt.Sprintf("tablet-%d", i), "roxy/presence"))
			all = append(all, p.watching(t, v))
			time.Sleep(presenceWindow / (tablets + 1))
		}
		time.Sleep(presenceWindow)
		for i, w := range all {
			if w.hear(t); w.batches > 1 || len(w.held) != tablets {
				t.Fatalf("watcher %d heard %d events and knows of %d, want one and all %d", i, w.batches, len(w.held), tablets)
			}
		}
		for _, w := range all {
			p.unwatch(w.watcher)
			p.depart(w.visit)
		}
		time.Sleep(21 * time.Second)
		if tenants, departed, dirty := p.kept(); tenants+departed+dirty != 0 {
			t.Errorf("kept %d tenants, %d visits and %d changes of nobody", tenants, departed, dirty)
		}
	})
}

func TestDeviceThatChangesItsPatternsAllTheTimeIsPresentAndBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := startPresence(t, 20*time.Second)
		for i := range 1000 {
			p.depart(p.arrive(visitor(t, "bar", "u", "d", fmt.Sprintf("orders/%d", i))))
		}
		if _, departed, _ := p.kept(); departed != maxLeavings {
			t.Errorf("%d visits are kept, want %d", departed, maxLeavings)
		}
		if got := p.present(topic(t, "orders/999")); len(got) != 1 {
			t.Errorf("the newest is not kept: %v", got)
		}
	})
}

// TestPresenceIsWhatItsDefinitionSays compares random comings and goings with the definition, worked out anew each time from
// all streams that there ever were, and has watchers that come and go hold what they are told.
func TestPresenceIsWhatItsDefinitionSays(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playPresence(t, rand.New(rand.NewPCG(seed, 9))) })
		})
	}
}

func playPresence(t *testing.T, dice *rand.Rand) {
	t.Helper()
	const grace = 2 * time.Second
	p := startPresence(t, grace)
	type life struct {
		*visit
		who      Present
		patterns []roxy.Pattern
		over     time.Time
	}
	var lives []*life
	var watchers []*watching
	topics := []roxy.Topic{{}, topic(t, "orders/1"), topic(t, "menu/1")}
	expected := func(at roxy.Topic) held {
		h := held{}
		for _, l := range lives {
			if (l.over.IsZero() || time.Since(l.over) < grace) && (at == (roxy.Topic{}) || hears(l.patterns, at)) {
				h[l.who] = true
			}
		}
		return h
	}
	arrive := func(who Present, pattern string) *life {
		sub := visitor(t, "bar", who.User, who.Device, pattern)
		l := &life{visit: p.arrive(sub), who: who, patterns: sub.Patterns}
		lives = append(lives, l)
		return l
	}
	for range 400 {
		switch n := dice.IntN(10); {
		case n < 4:
			who := key(fmt.Sprintf("u%d", dice.IntN(4)), fmt.Sprintf("d%d", dice.IntN(3)))
			arrive(who, []string{"orders/*", "menu/*", "*/1"}[dice.IntN(3)])
		case n < 7:
			if l := lives[max(0, dice.IntN(len(lives)+1)-1):]; len(l) > 0 && l[0].over.IsZero() && !watches(watchers, l[0].visit) {
				p.depart(l[0].visit)
				l[0].over = time.Now()
			}
		case n == 7 && len(watchers) < 4:
			watchers = append(watchers, p.watching(t, arrive(key("w", fmt.Sprint(dice.IntN(3))), "roxy/presence").visit))
		case n == 8 && len(watchers) > 0:
			i := dice.IntN(len(watchers))
			watchers[i].hear(t)
			p.unwatch(watchers[i].watcher) // its stream goes on, or ends by another turn
			watchers = slices.Delete(watchers, i, i+1)
		default:
			time.Sleep(time.Duration(dice.Int64N(int64(grace))) + time.Microsecond)
		}
		synctest.Wait()
		for _, at := range topics {
			if got, want := p.present(at), expected(at); !maps.Equal(got, want) {
				t.Fatalf("at %q present are %v, want %v", at, got, want)
			}
		}
		for _, w := range watchers {
			w.hear(t)
			if !maps.Equal(w.held, watchers[0].held) {
				t.Fatalf("one watcher holds %v, another %v", w.held, watchers[0].held)
			}
		}
		if dice.IntN(8) > 0 {
			continue
		}
		time.Sleep(presenceWindow + time.Microsecond)
		synctest.Wait()
		for _, w := range watchers { // somebody's grace may have ended within the window, and is told in the next one
			w.hear(t)
			for k := range w.held {
				if _, _, dirty := p.kept(); !expected(roxy.Topic{})[k] && dirty == 0 {
					t.Fatalf("a watcher believes in %v", k)
				}
			}
			for k := range expected(roxy.Topic{}) {
				if !w.held[k] {
					t.Fatalf("a watcher does not know of %v", k)
				}
			}
		}
	}
	for _, w := range watchers {
		p.unwatch(w.watcher)
	}
	for _, l := range lives {
		if l.over.IsZero() {
			p.depart(l.visit)
		}
	}
	time.Sleep(grace + time.Millisecond)
	tenants, departed, dirty := p.kept()
	if c := p.stats(); c.users != 0 || c.devices != 0 || c.joined != c.left || tenants+departed+dirty != 0 {
		t.Errorf("everybody has left, and kept is %+v of %d tenants", c, tenants)
	}
}

func watches(watchers []*watching, v *visit) bool {
	return slices.ContainsFunc(watchers, func(w *watching) bool { return w.visit == v })
}
