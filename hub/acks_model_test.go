package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/engine/disk"
)

// Random devices that go on- and offline, hubs that crash, acknowledgements that are lost and repeated, and events that
// expire, against a model that knows what each device saw and said: every critical event ends exactly once, as acknowledged
// or as a dead letter, within the time that it has; no device is given what is not for it or misses what is; receipts agree
// with what devices saw.
func TestEveryCriticalEventEndsOnceWhateverHappens(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playEvening(t, rand.New(rand.NewPCG(seed, 5)), seed%4 != 0) })
		})
	}
}

// evening is a model of a bar.
type evening struct {
	t     *testing.T
	dice  *rand.Rand
	fs    *vfs.MemFS
	store *disk.Engine
	hub   *Hub
	ids   int // keys given away

	mu      sync.Mutex
	life    int           // of the machine: what an earlier one still does is not seen by anybody
	queue   int           // of the hub's, in events
	down    time.Duration // all the time that there was no hub
	crashes int
	tablets []*modelTablet
	settled map[string]int // what the publisher was told, by event
	targets map[string][]string
	mayEnd  context.CancelFunc // of the publisher's stream
	publisher
}

// publisher is the stream of whoever publishes.
type publisher struct{ over chan struct{} }

// sighting is one event that a tablet was given.
type sighting struct {
	at      time.Time
	attempt int // 0 for an event that is not critical
}

// modelTablet is one device.
type modelTablet struct {
	e          *evening
	sub        Subscription
	registered bool
	since      uint64 // the head when it was registered
	online     *modelConnection
	last       *roxy.Cursor // its position, as a browser keeps it

	seen      map[uint64][]sighting
	confirmed map[uint64]bool // what it confirmed: true when it was answered, false when it cannot know
	delivered uint64          // what it said that it has, and was answered
	perhaps   uint64          // what it said at all
}

// modelConnection is a Sink that reads what it is given.
type modelConnection struct {
	tablet *modelTablet // nil for the publisher
	e      *evening
	life   int
	text   strings.Builder
	cancel context.CancelFunc
	over   chan struct{}
}

// SetDeadline has no meaning for a sink that never waits.
func (*modelConnection) SetDeadline(time.Time) {}

// Write reads whole lines.
func (c *modelConnection) Write(p []byte) error {
	c.e.mu.Lock()
	defer c.e.mu.Unlock()
	if c.life != c.e.life {
		return errors.New("that machine is no more")
	}
	c.text.Write(p)
	for line := range strings.Lines(string(p)) {
		if c.tablet == nil {
			c.hear(line)
			continue
		}
		c.tablet.hear(line)
	}
	return nil
}

// hear counts the settlements that the publisher is told of.
func (c *modelConnection) hear(line string) {
	if _, rest, ok := strings.Cut(line, `C roxy:ack {"id":"`); ok && strings.Contains(rest, `"settled":`) {
		id, _, _ := strings.Cut(rest, `"`)
		c.e.settled[id]++
	}
}

func (m *modelTablet) hear(line string) {
	if strings.HasPrefix(line, "C ") {
		if cursor, ok := cursorOf(line, `"epoch":"`+m.e.epoch()+`"`); ok {
			m.last = &cursor
		}
		return
	}
	var offset uint64
	if _, err := fmt.Sscanf(line, "E %d ", &offset); err != nil {
		m.e.t.Errorf("%s was given %q", m.sub.Device, line)
		return
	}
	s := sighting{at: time.Now()}
	if _, rest, ok := strings.Cut(line, `"ack":{"id":"`); ok {
		id, rest, _ := strings.Cut(rest, `"`)
		cursor, err := roxy.ParseCursor(id)
		if err != nil {
			m.e.t.Error(err)
		}
		_, rest, _ = strings.Cut(rest, `"attempt":`)
		if _, err := fmt.Sscanf(rest, "%d", &s.attempt); err != nil {
			m.e.t.Error(err)
		}
		if offset != 0 && (cursor.Offset != offset || s.attempt != 1) {
			m.e.t.Errorf("%s: at its place in the log stands %q", m.sub.Device, line)
		}
		m.seen[cursor.Offset] = append(m.seen[cursor.Offset], s)
	} else {
		m.seen[offset] = append(m.seen[offset], s)
	}
	if offset != 0 {
		m.last = &roxy.Cursor{Epoch: m.e.epoch(), Offset: offset}
	}
}

func (e *evening) epoch() string {
	b, err := e.store.Bounds(e.t.Context(), "bar")
	if err != nil {
		e.t.Error(err)
	}
	return b.Epoch
}

func playEvening(t *testing.T, dice *rand.Rand, crashes bool) {
	t.Helper()
	e := &evening{t: t, dice: dice, fs: vfs.NewCrashableMem(), settled: make(map[string]int), targets: make(map[string][]string)}
	if crashes {
		e.queue = 3 // so small that falling behind is usual, with which what publishers are told beside the log is lost
	}
	e.start()
	e.cast()
	for range 120 {
		switch n := dice.IntN(20); {
		case n < 4:
			e.any().connect()
		case n < 7:
			e.any().cut()
		case n < 12:
			e.publish(t.Context())
		case n < 16:
			e.any().acknowledge(t.Context())
		case n < 17:
			e.any().acknowledgeInVain()
		case n == 17 && crashes && dice.IntN(2) == 0:
			e.crash()
		default:
			time.Sleep(time.Duration(dice.IntN(20_000)) * time.Millisecond)
		}
		if dice.IntN(3) > 0 {
			synctest.Wait()
		}
	}
	time.Sleep(time.Hour) // longer than any event has
	for _, m := range e.tablets {
		m.connect()
	}
	time.Sleep(time.Second) // what was written is noted
	e.check()
	for _, m := range e.tablets {
		m.cut()
	}
	e.stop()
}

// start opens what the disk holds.
func (e *evening) start() {
	var err error
	if e.store, err = disk.Open("db", disk.Options{FS: e.fs}); err != nil {
		e.t.Fatal(err)
	}
	if e.hub, err = Start(e.t.Context(), e.store, Options{QueueEvents: e.queue}); err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.mayEnd, e.over = cancel, make(chan struct{})
	sink := &modelConnection{e: e, life: e.life}
	sub := Subscription{Identity: e.identity("host"), Heartbeat: time.Hour, Encoding: lineEncoding{}, Transport: "test"}
	over, hub := e.over, e.hub
	go func() {
		defer close(over)
		if err := hub.Subscribe(ctx, sub, sink); err != nil {
			e.t.Error(err)
		}
	}()
	synctest.Wait()
}

func (e *evening) stop() {
	e.mayEnd()
	<-e.over
	if err := errors.Join(e.hub.Close(context.Background()), e.store.Close()); err != nil {
		e.t.Error(err)
	}
}

// crash leaves of the machine what its disk is sure of, in the middle of whatever happens, and starts another one.
func (e *evening) crash() {
	ctx, cancel := context.WithCancel(context.Background())
	var under sync.WaitGroup
	life := e.life
	for range e.dice.IntN(3) {
		m, seed := e.any(), e.dice.Uint64()
		if m.online != nil {
			under.Go(func() { m.say(ctx, life, rand.New(rand.NewPCG(seed, 1)), true) })
		}
	}
	for range e.dice.IntN(40) {
		e.yield()
	}
	e.mu.Lock()
	e.life++
	e.mu.Unlock()
	fs := e.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70}[e.dice.IntN(4)], RNG: e.dice})
	cancel()
	under.Wait()
	for _, m := range e.tablets {
		m.cut()
	}
	began := time.Now()
	e.stop()
	if e.dice.IntN(2) == 0 {
		time.Sleep(time.Duration(e.dice.IntN(90)) * time.Second)
	}
	e.down += time.Since(began)
	e.crashes++
	e.fs = fs
	e.start()
}

// yield lets others go on, without the time passing.
func (*evening) yield() {
	done := make(chan struct{})
	go close(done)
	<-done
}

func (e *evening) identity(user string, roles ...string) roxy.Identity {
	return all(e.t, "bar", user, roles...)
}

// cast names those who are there.
func (e *evening) cast() {
	for _, c := range []struct {
		device, user, pattern string
		roles, types          []string
	}{
		{"ann-1", "ann", "calls/*", []string{"waiter"}, nil},
		{"ann-2", "ann", "**", []string{"waiter"}, nil},
		{"bob-1", "bob", "calls/1", []string{"kitchen", "waiter"}, nil},
		{"cem-1", "cem", "calls/*", nil, []string{"new"}},
		{"dan-1", "dan", "calls/2", []string{"kitchen"}, nil},
	} {
		e.tablets = append(e.tablets, &modelTablet{
			e: e, seen: make(map[uint64][]sighting), confirmed: make(map[uint64]bool),
			sub: Subscription{
				Identity: e.identity(c.user, c.roles...), Patterns: []roxy.Pattern{pattern(e.t, c.pattern)}, Types: c.types, Device: c.device,
				Heartbeat: time.Hour, Encoding: lineEncoding{}, Transport: "test",
			},
		})
	}
}

func (e *evening) any() *modelTablet { return e.tablets[e.dice.IntN(len(e.tablets))] }

// publish commits some events, and notes whom the critical ones are for.
func (e *evening) publish(ctx context.Context) {
	batch := make([]roxy.Event, 1+e.dice.IntN(5))
	for i := range batch {
		e.ids++
		ev := event(e.t, []string{"calls/1", "calls/2", "menu/1"}[e.dice.IntN(3)], `{}`)
		ev.ID, ev.Type = fmt.Sprint("k-", e.ids), []string{"new", "old"}[e.dice.IntN(2)]
		switch e.dice.IntN(4) {
		case 0:
			ev.To = roxy.Audience{Roles: []string{[]string{"waiter", "kitchen"}[e.dice.IntN(2)]}}
		case 1:
			ev.To = roxy.Audience{Users: [][]string{{"ann", "cem"}, {"bob"}, {"ann", "eve"}}[e.dice.IntN(3)]}
		}
		if e.dice.IntN(5) == 0 {
			ev.Except = e.any().sub.Device
		}
		if e.dice.IntN(4) > 0 {
			ev.Ack = &roxy.Ack{
				By:     []roxy.AckBy{roxy.AckAny, roxy.AckUser, roxy.AckDevice}[e.dice.IntN(3)],
				Within: time.Duration(1+e.dice.IntN(40)) * time.Second, Attempts: 1 + e.dice.IntN(4),
			}
		}
		if e.dice.IntN(5) == 0 {
			ev.TTL = time.Duration(1+e.dice.IntN(60)) * time.Second
		}
		batch[i] = ev
		for _, m := range e.tablets {
			if m.registered && owed(&m.sub, ev) {
				e.targets[ev.ID] = append(e.targets[ev.ID], m.sub.Device)
			}
		}
	}
	if _, err := e.hub.Publish(ctx, e.identity("host"), batch); err != nil {
		e.t.Error(err)
	}
}

// connect brings the tablet online, in the place of the connection that it has.
func (m *modelTablet) connect() {
	before := m.online
	sub := m.sub
	m.e.mu.Lock()
	switch m.e.dice.IntN(3) {
	case 0: // a page that was loaded anew: it knows nothing, and the hub does
	default:
		sub.After = m.last
	}
	m.e.mu.Unlock()
	head, err := m.e.store.Bounds(context.Background(), "bar")
	if err != nil {
		m.e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &modelConnection{tablet: m, e: m.e, life: m.e.life, cancel: cancel, over: make(chan struct{})}
	hub := m.e.hub
	go func() {
		defer close(c.over)
		if err := hub.Subscribe(ctx, sub, c); err != nil {
			m.e.t.Errorf("%s: %v", sub.Device, err)
		}
	}()
	time.Sleep(time.Millisecond) // for the hub's budget of replays, of which a new one has nothing
	synctest.Wait()
	m.e.mu.Lock()
	text := c.text.String()
	m.e.mu.Unlock()
	if !strings.Contains(text, "C roxy:live") || strings.Contains(text, "C roxy:reset") {
		m.e.t.Fatalf("%s came back to %q", sub.Device, text)
	}
	if !m.registered {
		m.registered, m.since = true, head.Head
	}
	if sub.After != nil {
		m.delivered = max(m.delivered, sub.After.Offset)
		m.perhaps = max(m.perhaps, sub.After.Offset)
	}
	m.online = c
	if before != nil {
		<-before.over
		if !strings.Contains(before.text.String(), `"reason":"replaced"`) {
			m.e.t.Errorf("the connection of %s that was replaced ended with %q", sub.Device, before.text.String())
		}
		before.cancel()
	}
}

// cut ends the connection as a cable does.
func (m *modelTablet) cut() {
	if m.online != nil {
		m.online.cancel()
		<-m.online.over
		m.online = nil
	}
}

// acknowledge says what the tablet has and confirms some of it; the answer may be lost.
func (m *modelTablet) acknowledge(ctx context.Context) {
	if !m.registered {
		return
	}
	lost := m.e.dice.IntN(3) == 0
	if lost {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go cancel()
	}
	m.say(ctx, m.e.life, m.e.dice, lost)
}

// say is one acknowledgement, to the machine of that life. When its answer may be lost, what it did is not known.
func (m *modelTablet) say(ctx context.Context, life int, dice *rand.Rand, lost bool) {
	e := m.e
	e.mu.Lock()
	epoch := e.epoch() //nolint:contextcheck // asked of the engine whatever became of the call
	acks := Acks{Device: m.sub.Device}
	if m.last != nil && dice.IntN(2) == 0 {
		at := *m.last
		acks.Delivered = &at
		m.perhaps = max(m.perhaps, at.Offset)
	}
	var critical []uint64
	for offset, s := range m.seen {
		if s[0].attempt > 0 {
			critical = append(critical, offset)
		}
	}
	slices.Sort(critical)
	known := make(map[uint64]bool)
	for _, offset := range critical {
		if dice.IntN(4) == 0 {
			acks.Confirmed = append(acks.Confirmed, roxy.Cursor{Epoch: epoch, Offset: offset})
			if sure, said := m.confirmed[offset]; said {
				known[offset] = sure
			} else {
				m.confirmed[offset] = false
			}
		}
	}
	e.mu.Unlock()
	_, statuses, err := e.hub.Acknowledge(ctx, m.sub.Identity, acks)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if !lost {
			e.t.Error(err)
		}
		return
	}
	if life != e.life {
		return // it was answered by a machine that is no more
	}
	if acks.Delivered != nil {
		m.delivered = max(m.delivered, acks.Delivered.Offset)
	}
	for i, c := range acks.Confirmed {
		sure, said := known[c.Offset]
		switch got := statuses[i]; {
		case got == roxy.AckUnknown, sure && got != roxy.AckRepeated, !said && got == roxy.AckRepeated:
			e.t.Errorf("%s confirms %s (before: %t, answered: %t): %s", m.sub.Device, c, said, sure, got)
		default:
			m.confirmed[c.Offset] = true
		}
	}
}

// acknowledgeInVain confirms what is not the tablet's to confirm.
func (m *modelTablet) acknowledgeInVain() {
	if !m.registered {
		return
	}
	e := m.e
	b, err := e.store.Bounds(e.t.Context(), "bar")
	if err != nil {
		e.t.Fatal(err)
	}
	for ev, err := range e.store.Read(e.t.Context(), "bar", engine.Query{}) {
		if err != nil {
			e.t.Fatal(err)
		}
		if ev.Ack != nil && slices.Contains(e.targets[ev.ID], m.sub.Device) {
			continue
		}
		_, statuses, err := e.hub.Acknowledge(e.t.Context(), m.sub.Identity, Acks{Device: m.sub.Device, Confirmed: []roxy.Cursor{{Epoch: b.Epoch, Offset: ev.Offset}, {Epoch: "other", Offset: 1}}})
		if err != nil || statuses[0] != roxy.AckUnknown || statuses[1] != roxy.AckUnknown {
			e.t.Errorf("%s confirms %d, which is not for it: %q, %v", m.sub.Device, ev.Offset, statuses, err)
		}
	}
	_, _, err = e.hub.Acknowledge(e.t.Context(), e.identity("eve"), Acks{Device: m.sub.Device})
	problem(e.t, err, roxy.Forbidden, "device")
}

// check holds the log, the acknowledgements and what everybody saw against each other.
func (e *evening) check() {
	letters := make(map[uint64]engine.DeadLetter)
	log := make(map[uint64]roxy.Event)
	for ev, err := range e.store.Read(e.t.Context(), "bar", engine.Query{}) {
		if err != nil {
			e.t.Fatal(err)
		}
		log[ev.Offset] = ev
		if ev.Type == roxy.UnackedType {
			letter, err := engine.ReadDeadLetter(&ev)
			if err != nil {
				e.t.Fatal(err)
			}
			of, err := roxy.ParseCursor(letter.Event)
			if _, twice := letters[of.Offset]; err != nil || twice {
				e.t.Errorf("a second dead letter of %s: %v", letter.Event, err)
			}
			letters[of.Offset] = letter
		}
	}
	critical := 0
	for _, ev := range log {
		if ev.Ack != nil {
			critical++
			e.checkCritical(&ev, letters)
		}
	}
	if len(log) == 0 || critical == 0 {
		e.t.Error("nothing happened")
	}
	for _, m := range e.tablets {
		m.check(log)
	}
	open, err := e.store.Open(e.t.Context())
	if err != nil || len(open) != 0 {
		e.t.Errorf("still open: %+v, %v", open, err)
	}
}

func (e *evening) checkCritical(ev *roxy.Event, letters map[uint64]engine.DeadLetter) {
	c, err := e.hub.Receipts(e.t.Context(), e.identity("host"), roxy.Cursor{Epoch: e.epoch(), Offset: ev.Offset})
	if err != nil {
		e.t.Fatalf("event %d: %v", ev.Offset, err)
	}
	wrong := func(format string, args ...any) {
		e.t.Helper()
		e.t.Errorf("event %d of %s, ack %+v, ttl %s: %s\n%+v", ev.Offset, ev.Time, *ev.Ack, ev.TTL, fmt.Sprintf(format, args...), c)
	}
	var targets []string
	for i := range c.Targets {
		targets = append(targets, c.Targets[i].Device)
	}
	if want := e.targets[ev.ID]; !slices.Equal(targets, want) {
		wrong("the targets are %q, want %q", targets, want)
	}
	letter, dead := letters[ev.Offset]
	told := e.settled[c.Cursor().String()]
	switch c.Settlement {
	case roxy.Acknowledged:
		if dead || !complete(ev, &c) {
			wrong("it is acknowledged, has a dead letter: %t, and is complete: %t", dead, complete(ev, &c))
		}
	case roxy.Unacked:
		if !dead || letter.Reason != c.Reason || complete(ev, &c) {
			wrong("it is unacked, its dead letter is %+v, and it is complete: %t", letter, complete(ev, &c))
		}
	default:
		wrong("it did not end")
	}
	if told > 1 || told == 0 && e.queue == 0 {
		wrong("its publisher was told %d times that it ended", told)
	}
	if c.Attempt < 1 || c.Attempt > ev.Ack.Attempts {
		wrong("%d attempts", c.Attempt)
	}
	e.checkTimes(ev, &c, wrong)
}

// complete is the naive model of who has to confirm.
func complete(ev *roxy.Event, c *engine.Critical) bool {
	users, done := make(map[string]bool), make(map[string]bool)
	confirmed := 0
	for _, u := range ev.To.Users {
		users[u] = true
	}
	for i := range c.Targets {
		users[c.Targets[i].User] = true
		if r := &c.Targets[i]; !r.Confirmed.IsZero() && !r.Late {
			confirmed++
			done[r.User] = true
		}
	}
	switch ev.Ack.By {
	case roxy.AckAny:
		return confirmed > 0
	case roxy.AckUser:
		return len(done) == len(users) && confirmed > 0
	default:
		return confirmed == len(c.Targets) && confirmed > 0
	}
}

// slack is how late a hub may be that has nothing else to do: the time of a commit that has to be repeated.
const slack = 3 * time.Second

func (e *evening) checkTimes(ev *roxy.Event, c *engine.Critical, wrong func(format string, args ...any)) {
	soonest, latest := time.Duration(0), time.Duration(0)
	begins := []time.Duration{0} // of each attempt, at the soonest
	for n := range ev.Ack.Attempts {
		wait := min(ev.Ack.Within<<n, max(10*time.Minute, ev.Ack.Within))
		soonest += wait
		latest += wait
		if n > 0 {
			latest += wait / 5
		}
		begins = append(begins, soonest)
	}
	if ev.TTL > 0 {
		soonest, latest = min(soonest, ev.TTL), min(latest, ev.TTL)
	}
	took := c.Settled.Sub(ev.Time)
	switch {
	case len(c.Targets) == 0 && (c.Reason != roxy.UnackedNoAudience || took > slack):
		wrong("nobody could confirm it, and it took %s", took)
	case len(c.Targets) == 0:
	case c.Settlement == roxy.Unacked && (took < soonest || took > latest+e.down+slack):
		wrong("it was given up after %s, want %s to %s, and there was no hub for %s", took, soonest, latest, e.down)
	case c.Reason == roxy.UnackedTTL && (ev.TTL == 0 || took < ev.TTL), c.Reason == roxy.UnackedAttempts && c.Attempt != ev.Ack.Attempts,
		c.Reason == roxy.UnackedNoAudience, c.Reason == roxy.UnackedRetention:
		wrong("that is not why")
	}
	for _, m := range e.tablets {
		for _, s := range m.seen[ev.Offset] {
			if s.attempt < 1 || s.attempt > c.Attempt || s.at.Before(ev.Time.Add(begins[s.attempt-1])) {
				wrong("%s was given attempt %d at %s", m.sub.Device, s.attempt, s.at)
			}
		}
	}
}

// check holds what a tablet saw against what is for it, and its receipts against what it saw and said.
func (m *modelTablet) check(log map[uint64]roxy.Event) {
	t, e := m.e.t, m.e
	for offset := range m.seen {
		if ev, ok := log[offset]; !ok || !owed(&m.sub, ev) || ev.Topic.Reserved() {
			t.Errorf("%s was given event %d (%t), which is not for it: %+v", m.sub.Device, offset, ok, ev)
		}
	}
	for offset, ev := range log {
		if _, seen := m.seen[offset]; !seen && offset > m.since && ev.TTL == 0 && owed(&m.sub, ev) && !ev.Topic.Reserved() {
			t.Errorf("%s never saw event %d", m.sub.Device, offset)
		}
		if ev.Ack == nil {
			continue
		}
		c, err := e.store.Critical(t.Context(), "bar", offset)
		if err != nil {
			t.Fatal(err)
		}
		r := c.Target(m.sub.Device)
		if r == nil {
			continue
		}
		wrong := func(format string, args ...any) {
			t.Helper()
			t.Errorf("event %d, %s: %s\nreceipt %+v\nsaw %+v", offset, m.sub.Device, fmt.Sprintf(format, args...), *r, m.seen[offset])
		}
		sure, said := m.confirmed[offset]
		if confirmed := !r.Confirmed.IsZero(); confirmed && !said || !confirmed && sure {
			wrong("it confirmed: %t, and was answered: %t", said, sure)
		}
		if r.Late && !r.Confirmed.After(c.Settled) && !r.Confirmed.Equal(c.Settled) {
			wrong("it was not late: settled at %s", c.Settled)
		}
		if delivered := !r.Delivered.IsZero(); delivered && !said && m.perhaps < offset || !delivered && (sure || m.delivered >= offset) {
			wrong("it said that it has all up to %d, and was answered up to %d", m.perhaps, m.delivered)
		}
		if n := len(m.seen[offset]); r.Attempts > n || e.crashes == 0 && r.Attempts != n {
			wrong("it was written %d times and seen %d times", r.Attempts, n)
		}
		if r.Attempts > 0 && !slices.ContainsFunc(m.seen[offset], func(s sighting) bool { return s.at.Equal(r.Written) }) {
			wrong("it was not seen when it was written")
		}
	}
	devices, err := e.store.Devices(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(devices, func(d roxy.Device) bool { return d.Name == m.sub.Device })
	if i < 0 || devices[i].Cursor.Offset < m.delivered || devices[i].Cursor.Offset > max(m.perhaps, m.since) {
		t.Errorf("%s said that it has all up to %d, was answered up to %d, and is known as %+v", m.sub.Device, m.perhaps, m.delivered, devices)
	}
}
