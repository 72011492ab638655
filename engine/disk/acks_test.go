package disk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

func tablet(t testing.TB, name, user, pattern string) roxy.Device {
	t.Helper()
	p, err := roxy.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return roxy.Device{Name: name, User: user, Patterns: []roxy.Pattern{p}}
}

func register(t testing.TB, e *Engine, name, user string) engine.Registration {
	t.Helper()
	r, err := e.Register(t.Context(), "bar", tablet(t, name, user, "calls/*"), 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// commitCall commits a critical event that every device has to confirm, and returns its offset.
func commitCall(t testing.TB, e *Engine) uint64 {
	t.Helper()
	ev := event(t, "calls/1", "")
	ev.Ack = &roxy.Ack{By: roxy.AckDevice, Within: 10 * time.Second, Attempts: 2}
	r, err := e.Commit(t.Context(), "bar", []roxy.Event{ev})
	if err != nil {
		t.Fatal(err)
	}
	return r.Entries[0].Offset
}

func confirm(t testing.TB, e *Engine, name string, offsets ...uint64) []roxy.AckStatus {
	t.Helper()
	out, err := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: name, User: "ann", Confirmed: offsets})
	if err != nil {
		t.Fatal(err)
	}
	return out.Confirmed
}

// known is all that an engine tells of devices and acknowledgements of the tenant "bar".
type known struct {
	Devices   []roxy.Device
	Criticals []engine.Critical
	Open      []engine.OpenAck
	Offered   map[string][]engine.OpenAck
}

func tells(t testing.TB, e *Engine) (k known) {
	t.Helper()
	var err error
	if k.Devices, err = e.Devices(t.Context(), "bar"); err != nil {
		t.Fatal(err)
	}
	b, err := e.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	for offset := b.First; offset <= b.Head; offset++ {
		c, err := e.Critical(t.Context(), "bar", offset)
		if errors.Is(err, roxy.ErrNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		c.Due = c.Due.UTC() // without what only this process knows of it
		k.Criticals = append(k.Criticals, c)
	}
	open, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.Open, k.Offered = open["bar"], make(map[string][]engine.OpenAck)
	for _, d := range k.Devices {
		r, err := e.Register(t.Context(), "bar", d, 0)
		if err != nil {
			t.Fatal(err)
		}
		k.Offered[d.Name] = r.Open
	}
	if k.Devices, err = e.Devices(t.Context(), "bar"); err != nil { // as the registrations leave them
		t.Fatal(err)
	}
	for _, list := range append(slices.Collect(maps.Values(k.Offered)), k.Open) {
		for i := range list {
			list[i].Due = list[i].Due.UTC()
		}
	}
	return k
}

func TestAcknowledgementsAreTheSameAfterTheStoreWasOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		e, err := Open("db", Options{FS: fs})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range [][2]string{{"ann-1", "ann"}, {"ann-2", "ann"}, {"bob-1", "bob"}, {"gone", "ann"}} {
			register(t, e, d[0], d[1])
		}
		for range 6 {
			commitCall(t, e)
		}
		if err := e.Forget(t.Context(), "bar", "ann", "gone"); err != nil {
			t.Fatal(err)
		}
		at := func(offset uint64) *roxy.Cursor {
			b, err := e.Bounds(t.Context(), "bar")
			if err != nil {
				t.Fatal(err)
			}
			return &roxy.Cursor{Epoch: b.Epoch, Offset: offset}
		}
		time.Sleep(time.Second)
		for _, said := range []engine.Acknowledgement{
			{Device: "ann-1", User: "ann", Delivered: at(2), Confirmed: []uint64{1, 3}, Written: []engine.Write{{Offset: 4, Time: time.Now(), Transport: "ws"}}},
			{Device: "bob-1", User: "bob", Skipped: at(3)},
			{Device: "bob-1", User: "bob", Delivered: at(1)},
		} {
			if _, err := e.Acknowledge(t.Context(), "bar", said); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		for _, due := range [][]engine.OpenAck{{{Offset: 5, Attempt: 1}, {Offset: 6, Attempt: 1}}, {{Offset: 6, Attempt: 2}}} {
			if _, err := e.Advance(t.Context(), "bar", due); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.Trim(t.Context(), "bar", 1); err != nil { // gives the first one up
			t.Fatal(err)
		}
		before := tells(t, e)
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		e = openAt(t, "db", Options{FS: fs})
		if after := tells(t, e); !reflect.DeepEqual(after, before) {
			t.Errorf("after:\n%+v\nbefore:\n%+v", after, before)
		}
		if len(before.Criticals) != 5 || len(before.Open) != 4 || len(before.Offered["bob-1"]) != 4 || len(before.Devices) != 3 {
			t.Errorf("%+v", before)
		}
		// What was skipped is known too.
		if _, err := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "bob-1", User: "bob", Delivered: at(6)}); err != nil {
			t.Fatal(err)
		}
		var delivered []uint64
		for _, c := range tells(t, e).Criticals {
			if !c.Target("bob-1").Delivered.IsZero() {
				delivered = append(delivered, c.Offset)
			}
		}
		if !slices.Equal(delivered, []uint64{4, 5, 6}) {
			t.Errorf("%v are delivered to bob, who skipped up to 3", delivered)
		}
		if r := register(t, e, "gone", "ann"); len(r.Open) != 4 {
			t.Errorf("%+v waits for a device that comes back", r.Open)
		}
	})
}

func TestOpenAcknowledgementsAreBounded(t *testing.T) {
	e := open(t, Options{FS: vfs.NewMem(), MaxOpenAcks: 3})
	register(t, e, "ann-1", "ann")
	commitCall(t, e)
	commitCall(t, e)
	call := event(t, "calls/1", "")
	call.Ack = &roxy.Ack{By: roxy.AckAny, Within: time.Second, Attempts: 1}
	plain, keyed := event(t, "calls/1", "plain"), call
	keyed.ID = "keyed"
	for name, tt := range map[string]struct {
		events []roxy.Event
		member string
	}{
		"in an array, the second one": {[]roxy.Event{plain, keyed, call}, "[2].ack"},
		"and once more":               {[]roxy.Event{call, call}, "[1].ack"},
	} {
		_, err := e.Commit(t.Context(), "bar", tt.events)
		var p *roxy.Problem
		if !errors.As(err, &p) || p.Code != roxy.RateLimited || p.Member != tt.member || p.RetryAfter == 0 {
			t.Errorf("%s: %v, want rate-limited at %s", name, err, tt.member)
		}
	}
	wantBounds(t, e, "bar", 1, 2) // nothing of a refused array is there
	if r, err := e.Commit(t.Context(), "bar", []roxy.Event{plain, keyed}); err != nil || r.Entries[1] != (engine.Entry{Offset: 4}) {
		t.Errorf("the keys of a refused array: %+v, %v", r, err)
	}
	_, err := e.Commit(t.Context(), "bar", []roxy.Event{call})
	var p *roxy.Problem
	if !errors.As(err, &p) || p.Code != roxy.RateLimited || p.Member != "ack" {
		t.Errorf("alone: %v, want rate-limited at ack", err)
	}
	if r, err := e.Commit(t.Context(), "bar", []roxy.Event{keyed}); err != nil || !r.Entries[0].Duplicate {
		t.Errorf("a repetition opens nothing: %+v, %v", r, err)
	}
	if got := confirm(t, e, "ann-1", 1); got[0] != roxy.AckConfirmed {
		t.Error(got)
	}
	if _, err := e.Commit(t.Context(), "bar", []roxy.Event{call}); err != nil {
		t.Errorf("behind one that was confirmed: %v", err)
	}
}

func TestADeviceThatIsNotHeardOfIsNoTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, Options{FS: vfs.NewMem(), DeviceAge: 2 * time.Hour})
		register(t, e, "silent", "ann")
		register(t, e, "steady", "ann")
		targets := func() (list []string) {
			c, err := e.Critical(t.Context(), "bar", commitCall(t, e))
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.Targets {
				list = append(list, c.Targets[i].Device)
			}
			return list
		}
		for hour := range 4 {
			want := []string{"silent", "steady"}
			if hour >= 2 {
				want = want[1:]
			}
			if got := targets(); !slices.Equal(got, want) {
				t.Errorf("after %d hours the targets are %q, want %q", hour, got, want)
			}
			time.Sleep(time.Hour)
			confirm(t, e, "steady")
		}
		if r := register(t, e, "silent", "ann"); r.New || r.Cursor.Offset != 0 {
			t.Errorf("%+v does not stand where it was", r)
		}
	})
}

func TestADeviceThatIsNotHeardOfForLongIsForgotten(t *testing.T) {
	now := time.Now()
	e := open(t, Options{FS: vfs.NewMem(), now: func() time.Time { return now }})
	register(t, e, "silent", "ann")
	register(t, e, "steady", "ann")
	for _, want := range []int{2, 1} {
		now = now.Add(deviceLife/2 + time.Hour)
		confirm(t, e, "steady")
		if err := e.forgetDevices(); err != nil {
			t.Fatal(err)
		}
		if list, err := e.Devices(t.Context(), "bar"); err != nil || len(list) != want || list[want-1].Name != "steady" {
			t.Errorf("%+v: %v, want %d", list, err, want)
		}
	}
}

func TestANewLifeOfALogKeepsWhatIsToBeConfirmed(t *testing.T) {
	fs := vfs.NewMem()
	e, err := Open("db", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	register(t, e, "ann-1", "ann")
	offset := commitCall(t, e)
	if err := errors.Join(e.Close(), fs.Remove("db/"+ackedName)); err != nil {
		t.Fatal(err)
	}
	e = openAt(t, "db", Options{FS: fs})
	b, err := e.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Critical(t.Context(), "bar", offset)
	if err != nil || c.Epoch != b.Epoch {
		t.Errorf("%+v: %v, want it in the epoch %s, in which it is read", c, err, b.Epoch)
	}
	if r := register(t, e, "ann-1", "ann"); r.Cursor.Epoch == b.Epoch || len(r.Open) != 1 {
		t.Errorf("%+v, want a cursor of the life before and what is to be confirmed", r)
	}
	if got := confirm(t, e, "ann-1", offset); got[0] != roxy.AckConfirmed {
		t.Error(got)
	}
}

func TestADamagedAcknowledgementIsItsTenantsAlone(t *testing.T) {
	for name, spoil := range map[string]func(db *pebble.DB) error{
		"a device":  func(db *pebble.DB) error { return db.Set(deviceKey("bar", "ann-1"), []byte("spoilt"), pebble.Sync) },
		"an event":  func(db *pebble.DB) error { return db.Set(offsetKey(keyAck, "bar", 1), []byte("spoilt"), pebble.Sync) },
		"a receipt": func(db *pebble.DB) error { return db.Set(handledKey("bar", 1, "ann-1"), []byte("spoilt"), pebble.Sync) },
		"a receipt of nobody": func(db *pebble.DB) error {
			return db.Set(handledKey("bar", 1, "ann-9"), engine.AppendDeviceReceipt(nil, &roxy.DeviceReceipt{}), pebble.Sync)
		},
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			e, err := Open("db", Options{FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			register(t, e, "ann-1", "ann")
			commitCall(t, e)
			call := event(t, "calls/1", "")
			call.Ack = &roxy.Ack{By: roxy.AckAny, Within: time.Hour, Attempts: 1}
			if _, err := e.Register(t.Context(), "pub", tablet(t, "ann-1", "ann", "**"), 0); err != nil {
				t.Fatal(err)
			}
			if _, err := e.Commit(t.Context(), "pub", []roxy.Event{call}); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(spoil(e.db), e.Close()); err != nil {
				t.Fatal(err)
			}
			e = openAt(t, "db", Options{FS: fs})
			open, openErr := e.Open(t.Context())
			if len(open) != 1 || len(open["pub"]) != 1 {
				t.Errorf("open %+v, want what the other tenant's are", open)
			}
			_, registerErr := e.Register(t.Context(), "bar", tablet(t, "ann-1", "ann", "**"), 0)
			_, commitErr := e.Commit(t.Context(), "bar", []roxy.Event{call})
			_, saidErr := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "ann-1", User: "ann"})
			for what, err := range map[string]error{"open": openErr, "register": registerErr, "commit": commitErr, "acknowledge": saidErr} {
				if !errors.Is(err, engine.ErrCorrupt) {
					t.Errorf("%s: %v, want ErrCorrupt", what, err)
				}
			}
			commitN(t, e, "bar", 1) // what is not critical goes on
			wantBounds(t, e, "bar", 1, 2)
		})
	}
}

func TestAnImportBesideDevicesLeavesThem(t *testing.T) {
	from, to := open(t, Options{FS: vfs.NewMem()}), open(t, Options{FS: vfs.NewMem()})
	register(t, from, "ann-1", "ann")
	commitCall(t, from)
	commitN(t, from, "bar", 2)
	register(t, to, "ann-1", "ann")
	b, err := from.Bounds(t.Context(), "bar")
	if err != nil {
		t.Fatal(err)
	}
	part := engine.Restoration{Of: b}
	for ev, err := range from.Read(t.Context(), "bar", engine.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		part.Events = append(part.Events, ev)
	}
	restore := func(end bool) {
		t.Helper()
		part.End = end
		if _, err := to.Restore(t.Context(), "bar", part); err != nil {
			t.Fatal(err)
		}
	}
	restore(false)
	for what, err := range map[string]error{
		"register": func() error {
			_, err := to.Register(t.Context(), "bar", tablet(t, "ann-1", "ann", "**"), 0)
			return err
		}(),
		"acknowledge": func() error {
			_, err := to.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "ann-1", User: "ann"})
			return err
		}(),
		"devices": func() error { _, err := to.Devices(t.Context(), "bar"); return err }(),
	} {
		if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.NotReady {
			t.Errorf("%s while it runs: %v, want not-ready", what, err)
		}
	}
	if err := to.Abandon(t.Context(), "bar"); err != nil {
		t.Fatal(err)
	}
	if r := register(t, to, "ann-1", "ann"); r.New {
		t.Error("what was given up took the device with it")
	}
	restore(true)
	if open, err := to.Open(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("an import opened %+v: %v: it is waited for where it was published", open, err)
	}
	if r := register(t, to, "ann-1", "ann"); r.New || r.Cursor.Epoch == b.Epoch {
		t.Errorf("%+v stands in a log that it never read", r)
	}
	offset := commitCall(t, to)
	if got := confirm(t, to, "ann-1", 1, offset); !slices.Equal(got, []roxy.AckStatus{roxy.AckUnknown, roxy.AckConfirmed}) {
		t.Errorf("%q of what was imported and what is new", got)
	}
}

func TestOnAFullDiskNothingIsAcknowledgedAndNothingIsLost(t *testing.T) {
	onSmallDisks(t, func(t *testing.T, disk smallDisk) {
		t.Helper()
		e, err := Open(disk.dir, Options{FS: disk.fs, MinFree: smallMinFree})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		}()
		register(t, e, "ann-1", "ann")
		offset := commitCall(t, e)
		release := disk.hog(t, smallMinFree/2)
		refused := func() (errs map[string]error) {
			_, registered := e.Register(t.Context(), "bar", tablet(t, "ann-2", "ann", "**"), 0)
			_, said := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Confirmed: []uint64{offset}})
			_, advanced := e.Advance(t.Context(), "bar", []engine.OpenAck{{Offset: offset, Attempt: 1}})
			return map[string]error{"register": registered, "acknowledge": said, "advance": advanced}
		}
		deadline := time.After(20 * time.Second)
		for { // the engine asks how much is free now and then
			full := true
			errs := refused()
			for _, err := range errs {
				full = full && errors.Is(err, roxy.ErrOverloaded)
			}
			if full {
				break
			}
			select {
			case <-deadline:
				t.Fatalf("on a full disk: %v", errs)
			case <-time.After(10 * time.Millisecond):
			}
		}
		if c, err := e.Critical(t.Context(), "bar", offset); err != nil || c.Attempt != 1 || c.Settlement != "" || !c.Targets[0].Confirmed.IsZero() {
			t.Errorf("%+v: %v", c, err)
		}
		if err := e.Forget(t.Context(), "bar", "ann", "ann-2"); !errors.Is(err, roxy.ErrNotFound) {
			t.Errorf("a refused registration: %v", err)
		}
		release()
		for {
			out, err := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Confirmed: []uint64{offset}})
			if err == nil {
				if out.Confirmed[0] != roxy.AckConfirmed {
					t.Errorf("%+v", out)
				}
				return
			}
			select {
			case <-deadline:
				t.Fatal(err)
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

// answered is what callers of an engine were told, which no crash takes back.
type answered struct {
	mu        sync.Mutex
	cursors   map[string]uint64          // by device
	confirmed map[string]map[uint64]bool // by device
	ended     map[uint64]roxy.Settlement // by event
	attempts  map[uint64]int             // by event
	devices   map[string]bool
}

func (a *answered) clone() *answered {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &answered{
		cursors: maps.Collect(maps.All(a.cursors)), ended: maps.Collect(maps.All(a.ended)), attempts: maps.Collect(maps.All(a.attempts)),
		devices: maps.Collect(maps.All(a.devices)), confirmed: make(map[string]map[uint64]bool),
	}
	for name, list := range a.confirmed {
		out.confirmed[name] = maps.Clone(list)
	}
	return out
}

// ackUntil has devices acknowledge and hubs advance until ctx ends.
func ackUntil(ctx context.Context, t *testing.T, e *Engine, a *answered, round int) (wait func()) {
	t.Helper()
	var wg sync.WaitGroup
	fail := func(what string, err error) bool {
		if err != nil && ctx.Err() == nil {
			t.Errorf("%s: %v", what, err)
		}
		return err != nil
	}
	for i := range 4 {
		name := fmt.Sprint("d-", i)
		rng := rand.New(rand.NewPCG(uint64(round), uint64(i)))
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := e.Register(ctx, "bar", tablet(t, name, "ann", "calls/*"), 0)
				if fail("register", err) {
					return
				}
				a.mu.Lock()
				a.devices[name] = true
				a.mu.Unlock()
				said := engine.Acknowledgement{Device: name, User: "ann"}
				b, err := e.Bounds(ctx, "bar")
				if fail("bounds", err) {
					return
				}
				said.Delivered = &roxy.Cursor{Epoch: b.Epoch, Offset: b.Head}
				for _, o := range r.Open {
					if rng.IntN(2) == 0 {
						said.Confirmed = append(said.Confirmed, o.Offset)
					}
				}
				out, err := e.Acknowledge(ctx, "bar", said)
				if fail("acknowledge", err) {
					return
				}
				a.mu.Lock()
				a.cursors[name] = max(a.cursors[name], out.Cursor.Offset)
				for j, status := range out.Confirmed {
					if status == roxy.AckConfirmed || status == roxy.AckRepeated || status == roxy.AckLate {
						if a.confirmed[name] == nil {
							a.confirmed[name] = make(map[uint64]bool)
						}
						a.confirmed[name][said.Confirmed[j]] = true
					}
				}
				for j := range out.News {
					if n := &out.News[j]; n.Receipt.Device == "" {
						a.ended[n.Offset] = n.Settlement
					}
				}
				a.mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			ev := event(t, "calls/1", "")
			ev.Ack = &roxy.Ack{By: roxy.AckDevice, Within: time.Hour, Attempts: 3}
			_, err := e.Commit(ctx, "bar", []roxy.Event{ev, event(t, "calls/1", ""), ev})
			if p, ok := errors.AsType[*roxy.Problem](err); ok && p.Code == roxy.RateLimited {
				continue
			}
			if fail("commit", err) {
				return
			}
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			open, err := e.Open(ctx)
			if fail("open", err) {
				return
			}
			list := open["bar"]
			advanced, err := e.Advance(ctx, "bar", list[:len(list)/3])
			if fail("advance", err) {
				return
			}
			a.mu.Lock()
			for i := range advanced {
				c := &advanced[i]
				a.attempts[c.Offset] = c.Attempt
				if c.Settlement != "" {
					a.ended[c.Offset] = c.Settlement
				}
			}
			a.mu.Unlock()
		}
	})
	return wg.Wait
}

// checkAnswered holds what an engine tells after a crash against what was answered before, and its parts against each other.
func checkAnswered(t *testing.T, e *Engine, a *answered) {
	t.Helper()
	letters := make(map[uint64]bool)
	criticals := make(map[uint64]bool)
	for ev, err := range e.Read(t.Context(), "bar", engine.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if ev.Ack != nil {
			criticals[ev.Offset] = true
		}
		if ev.Type == roxy.UnackedType {
			letter, err := engine.ReadDeadLetter(&ev)
			if err != nil {
				t.Fatal(err)
			}
			of, err := roxy.ParseCursor(letter.Event)
			if err != nil || letters[of.Offset] {
				t.Fatalf("a second dead letter of %s: %v", letter.Event, err)
			}
			letters[of.Offset] = true
		}
	}
	k := tells(t, e)
	if len(k.Criticals) != len(criticals) {
		t.Fatalf("%d acknowledgements of %d critical events", len(k.Criticals), len(criticals))
	}
	for i := range k.Criticals {
		c := &k.Criticals[i]
		if !criticals[c.Offset] || (c.Settlement == roxy.Unacked) != letters[c.Offset] {
			t.Fatalf("event %d ended as %q, and has a dead letter: %t", c.Offset, c.Settlement, letters[c.Offset])
		}
		if want := a.ended[c.Offset]; want != "" && c.Settlement != want {
			t.Fatalf("event %d was told to have ended as %q, and did as %q", c.Offset, want, c.Settlement)
		}
		if c.Attempt < a.attempts[c.Offset] {
			t.Fatalf("event %d was told to be at attempt %d, and is at %d", c.Offset, a.attempts[c.Offset], c.Attempt)
		}
		for name, list := range a.confirmed {
			if list[c.Offset] && c.Target(name).Confirmed.IsZero() {
				t.Fatalf("the confirmation of event %d by %s is lost", c.Offset, name)
			}
		}
	}
	for name := range a.devices {
		i := slices.IndexFunc(k.Devices, func(d roxy.Device) bool { return d.Name == name })
		if i < 0 || k.Devices[i].Cursor.Offset < a.cursors[name] {
			t.Fatalf("the device %s is not at %d: %+v", name, a.cursors[name], k.Devices)
		}
	}
}

// As TestACrashTakesNothingBackThatWasPromised, of what is acknowledged.
func TestACrashTakesBackNoAcknowledgement(t *testing.T) {
	const rounds = 30
	rng := rand.New(rand.NewPCG(20261124, 5))
	fs := vfs.NewCrashableMem()
	a := (&answered{}).clone()
	for round := range rounds {
		e, err := Open("db", Options{FS: fs, MaxOpenAcks: 100})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkAnswered(t, e, a)
		ctx, cancel := context.WithCancel(t.Context())
		wait := ackUntil(ctx, t, e, a, round)
		<-time.After(time.Duration(rng.IntN(15_000)) * time.Microsecond) // the moment of the crash
		told := a.clone()
		crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 30, 70}[rng.IntN(4)], RNG: rng})
		cancel()
		wait()
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		a, fs = told, crashed
	}
	if len(a.ended) < rounds || len(a.confirmed) < 4 {
		t.Errorf("only %d events ended in %d rounds", len(a.ended), rounds)
	}
}
