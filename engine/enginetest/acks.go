package enginetest

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Acks runs the contract of engine.Acks against what open returns, as Devices does.
func Acks(t *testing.T, open func(t *testing.T) Attentive) {
	t.Helper()
	inBubbles(t, open, slices.Concat(ackLaws(), settlementLaws()))
}

func ackLaws() []law[Attentive] {
	return []law[Attentive]{
		{"targets are the devices that an event is for when it is committed", targetsMatch},
		{"a device registered at the same time is a target of what is behind its cursor", targetsAtOnce},
		{"one device is enough for any", anyIsEnough},
		{"one device of each user is enough for user", oneOfEachUser},
		{"every device has to confirm for device", everyDevice},
		{"confirmations are answered exactly", answeredExactly},
		{"a name that was forgotten does not confirm for its next owner", nextOwnerIsNobody},
		{"what a device has is delivered, and what was skipped never", deliveredNotSkipped},
		{"what is written is counted", writtenIsCounted},
		{"open events are told at registration, while a confirmation counts", openAtRegistration},
		{"a repeated critical event is acknowledged once", repeatedCritical},
		{"an ordinary event has no acknowledgement", ordinaryEvent},
		{"calls that are given up leave something whole", callsGivenUp},
	}
}

func newCritical(t testing.TB, by roxy.AckBy) roxy.Event {
	t.Helper()
	e := newEvent(t, "calls/1", "")
	e.Type, e.Ack = "call", &roxy.Ack{By: by, Within: 10 * time.Second, Attempts: 3}
	return e
}

// commitCritical commits e and returns its offset.
func commitCritical(t testing.TB, e Attentive, ev roxy.Event) uint64 {
	t.Helper()
	return commit(t, e, "bar", ev).Entries[0].Offset
}

func confirm(t testing.TB, e engine.Acks, device, user string, offsets ...uint64) []roxy.AckStatus {
	t.Helper()
	return acknowledge(t, e, "bar", engine.Acknowledgement{Device: device, User: user, Confirmed: offsets}).Confirmed
}

func wantStatuses(t testing.TB, what string, got []roxy.AckStatus, want ...roxy.AckStatus) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func critical(t testing.TB, e engine.Acks, offset uint64) engine.Critical {
	t.Helper()
	c, err := e.Critical(t.Context(), "bar", offset)
	if err != nil {
		t.Fatalf("critical %d: %v", offset, err)
	}
	return c
}

func open(t testing.TB, e engine.Acks) map[string][]engine.OpenAck {
	t.Helper()
	list, err := e.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// team registers ann's two tablets, and one each of bob and cem.
func team(t testing.TB, e Attentive) {
	t.Helper()
	for _, d := range [][2]string{{"ann-1", "ann"}, {"ann-2", "ann"}, {"bob-1", "bob"}, {"cem-1", "cem"}} {
		register(t, e, "bar", newDevice(t, d[0], d[1], "calls/*"))
	}
}

func names(targets []roxy.DeviceReceipt) []string {
	list := []string{}
	for _, t := range targets {
		list = append(list, t.Device)
	}
	return list
}

func anyIsEnough(t *testing.T, e Attentive) {
	team(t, e)
	offset := commitCritical(t, e, newCritical(t, roxy.AckAny))
	time.Sleep(time.Second)
	out := acknowledge(t, e, "bar", engine.Acknowledgement{Device: "bob-1", User: "bob", Confirmed: []uint64{offset}})
	wantStatuses(t, "the first", out.Confirmed, roxy.AckConfirmed)
	if len(out.News) != 2 || out.News[0].Receipt.Device != "bob-1" || out.News[0].Receipt.Confirmed.IsZero() ||
		out.News[1].Receipt.Device != "" || out.News[1].Settlement != roxy.Acknowledged || out.News[1].Offset != offset {
		t.Errorf("news %+v, want bob-1's confirmation and the settlement", out.News)
	}
	c := critical(t, e, offset)
	if c.Settlement != roxy.Acknowledged || !c.Settled.Equal(time.Now()) || len(c.Missing()) != 0 || len(open(t, e)) != 0 {
		t.Errorf("%+v", c)
	}
	time.Sleep(time.Second)
	wantStatuses(t, "behind the settlement", confirm(t, e, "cem-1", "cem", offset), roxy.AckLate)
	after := critical(t, e, offset)
	if r := after.Target("cem-1"); !r.Late || !r.Confirmed.Equal(time.Now()) || !after.Settled.Equal(c.Settled) || after.Target("bob-1").Late {
		t.Errorf("late: %+v", after)
	}
	wantOffsets(t, readAll(t, e, "bar", engine.Query{}), numbers(1, offset)) // and no dead letter
}

func oneOfEachUser(t *testing.T, e Attentive) {
	team(t, e)
	ev := newCritical(t, roxy.AckUser)
	ev.To = roxy.Audience{Users: []string{"ann", "bob"}}
	offset := commitCritical(t, e, ev)
	if c := critical(t, e, offset); !slices.Equal(c.Users, []string{"ann", "bob"}) {
		t.Errorf("users %q", c.Users)
	}
	wantStatuses(t, "ann's second", confirm(t, e, "ann-2", "ann", offset), roxy.AckConfirmed)
	c := critical(t, e, offset)
	if got := names(c.Missing()); c.Settlement != "" || !slices.Equal(got, []string{"bob-1"}) {
		t.Errorf("missing %q of %+v", got, c)
	}
	wantStatuses(t, "ann's first", confirm(t, e, "ann-1", "ann", offset), roxy.AckConfirmed)
	wantStatuses(t, "bob's", confirm(t, e, "bob-1", "bob", offset), roxy.AckConfirmed)
	if c := critical(t, e, offset); c.Settlement != roxy.Acknowledged {
		t.Errorf("%+v", c)
	}
	// Whoever is addressed and has no device is missed.
	ev.To = roxy.Audience{Users: []string{"ann", "dan"}}
	offset = commitCritical(t, e, ev)
	wantStatuses(t, "ann's", confirm(t, e, "ann-1", "ann", offset), roxy.AckConfirmed)
	if c := critical(t, e, offset); c.Settlement != "" || !slices.Equal(c.Users, []string{"ann", "dan"}) {
		t.Errorf("%+v", c)
	}
}

func everyDevice(t *testing.T, e Attentive) {
	team(t, e)
	offset := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	for i, d := range [][2]string{{"cem-1", "cem"}, {"ann-2", "ann"}, {"bob-1", "bob"}, {"ann-1", "ann"}} {
		c := critical(t, e, offset)
		if c.Settlement != "" || len(c.Missing()) != 4-i {
			t.Errorf("%+v before %s", c, d[0])
		}
		wantStatuses(t, d[0], confirm(t, e, d[0], d[1], offset), roxy.AckConfirmed)
	}
	if c := critical(t, e, offset); c.Settlement != roxy.Acknowledged {
		t.Errorf("%+v", c)
	}
}

func answeredExactly(t *testing.T, e Attentive) {
	team(t, e)
	register(t, e, "bar", newDevice(t, "deaf-1", "dan", "orders/*"))
	register(t, e, "pub", newDevice(t, "ann-1", "ann", "calls/*"))
	first := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	ordinary := commitCritical(t, e, newEvent(t, "calls/1", ""))
	second := commitCritical(t, e, newCritical(t, roxy.AckAny))
	wantStatuses(t, "twice in one call, and others", confirm(t, e, "ann-1", "ann", first, second, first, ordinary, 1000, 0, second),
		roxy.AckConfirmed, roxy.AckConfirmed, roxy.AckRepeated, roxy.AckUnknown, roxy.AckUnknown, roxy.AckUnknown, roxy.AckRepeated)
	wantStatuses(t, "again", confirm(t, e, "ann-1", "ann", first, second), roxy.AckRepeated, roxy.AckRepeated)
	wantStatuses(t, "behind the end", confirm(t, e, "ann-2", "ann", second, second), roxy.AckLate, roxy.AckRepeated)
	wantStatuses(t, "not for it", confirm(t, e, "deaf-1", "dan", first, second), roxy.AckUnknown, roxy.AckUnknown)
	out := acknowledge(t, e, "pub", engine.Acknowledgement{Device: "ann-1", User: "ann", Confirmed: []uint64{first}})
	wantStatuses(t, "another tenant's", out.Confirmed, roxy.AckUnknown)
	trim(t, e, "bar", second)
	wantStatuses(t, "no longer retained", confirm(t, e, "bob-1", "bob", first, second), roxy.AckUnknown, roxy.AckUnknown)
}

func nextOwnerIsNobody(t *testing.T, e Attentive) {
	team(t, e)
	offset := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	head := roxy.Cursor{Epoch: bounds(t, e, "bar").Epoch, Offset: offset}
	for _, name := range []string{"ann-1", "ann-2"} {
		if err := e.Forget(t.Context(), "bar", "ann", name); err != nil {
			t.Fatal(err)
		}
	}
	if r := register(t, e, "bar", newDevice(t, "ann-1", "bob", "calls/*")); len(r.Open) != 0 {
		t.Errorf("bob is offered what was ann's: %+v", r.Open)
	}
	out := acknowledge(t, e, "bar", engine.Acknowledgement{
		Device: "ann-1", User: "bob", Confirmed: []uint64{offset}, Delivered: &head, Written: []engine.Write{{Offset: offset, Time: time.Now()}},
	})
	wantStatuses(t, "bob, in ann's name", out.Confirmed, roxy.AckUnknown)
	c := critical(t, e, offset)
	if r := c.Target("ann-1"); r.User != "ann" || r.Attempts != 0 || !r.Delivered.IsZero() || !r.Confirmed.IsZero() || len(out.News) != 0 {
		t.Errorf("ann's receipt: %+v", r)
	}
	if r := register(t, e, "bar", newDevice(t, "ann-2", "ann", "calls/*")); len(r.Open) != 1 || r.Open[0].Offset != offset {
		t.Errorf("ann is offered %+v, want what she is to confirm", r.Open)
	}
	wantStatuses(t, "ann, in her own", confirm(t, e, "ann-2", "ann", offset), roxy.AckConfirmed)
}

func deliveredNotSkipped(t *testing.T, e Attentive) {
	team(t, e)
	var offsets []uint64
	for range 6 {
		offsets = append(offsets, commitCritical(t, e, newCritical(t, roxy.AckDevice)))
		commit(t, e, "bar", newEvent(t, "calls/1", ""))
	}
	epoch := bounds(t, e, "bar").Epoch
	at := func(offset uint64) *roxy.Cursor { return &roxy.Cursor{Epoch: epoch, Offset: offset} }
	delivered := func(device string) (list []int) {
		list = []int{}
		for i, offset := range offsets {
			c := critical(t, e, offset)
			if !c.Target(device).Delivered.IsZero() {
				list = append(list, i)
			}
		}
		return list
	}
	want := func(what, device string, want ...int) {
		t.Helper()
		if got := delivered(device); !slices.Equal(got, want) {
			t.Errorf("%s: %v are delivered to %s, want %v", what, got, device, want)
		}
	}
	out := acknowledge(t, e, "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Delivered: at(offsets[1] + 1)})
	want("up to the second", "ann-1", 0, 1)
	if len(out.News) != 2 || out.News[0].Offset != offsets[0] || out.News[1].Offset != offsets[1] || out.News[0].Receipt.Delivered.IsZero() {
		t.Errorf("news %+v, want the delivery of both", out.News)
	}
	acknowledge(t, e, "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Skipped: at(offsets[4])})
	acknowledge(t, e, "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Delivered: at(offsets[2])}) // it was given that before
	want("what was given before the hole", "ann-1", 0, 1, 2)
	acknowledge(t, e, "bar", engine.Acknowledgement{Device: "ann-1", User: "ann", Delivered: at(offsets[5])})
	want("behind the hole", "ann-1", 0, 1, 2, 5)
	wantStatuses(t, "one of the hole, delivered again", confirm(t, e, "ann-1", "ann", offsets[3]), roxy.AckConfirmed)
	want("what is confirmed", "ann-1", 0, 1, 2, 3, 5)

	register(t, e, "bar", newDevice(t, "bob-1", "bob", "orders/*")) // does not subscribe to calls any more
	acknowledge(t, e, "bar", engine.Acknowledgement{
		Device: "bob-1", User: "bob", Delivered: at(offsets[5]), Written: []engine.Write{{Offset: offsets[0], Time: time.Now(), Transport: "sse"}},
	})
	want("of what it does not subscribe to any more, what it was given", "bob-1", 0)
	want("nothing was said of it", "cem-1")
}

func writtenIsCounted(t *testing.T, e Attentive) {
	team(t, e)
	offset := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	at := time.Now().Add(time.Minute)
	writes := []engine.Write{{Offset: offset, Time: at, Transport: "sse"}, {Offset: offset, Time: at.Add(time.Second), Transport: "ws"}, {Offset: 1000, Time: at}}
	acknowledge(t, e, "bar", engine.Acknowledgement{Device: "bob-1", User: "bob", Written: writes})
	acknowledge(t, e, "bar", engine.Acknowledgement{Device: "bob-1", User: "bob", Written: writes[1:2]})
	c := critical(t, e, offset)
	if r := c.Target("bob-1"); r.Attempts != 3 || !r.Written.Equal(at.Add(time.Second)) || r.Transport != "ws" || !r.Delivered.IsZero() || r.User != "bob" {
		t.Errorf("%+v", r)
	}
	if r := c.Target("cem-1"); r.Attempts != 0 || !r.Written.IsZero() {
		t.Errorf("another's: %+v", r)
	}
}

func openAtRegistration(t *testing.T, e Attentive) {
	team(t, e)
	offered := func(device, user string) (list []uint64) {
		t.Helper()
		list = []uint64{}
		for _, o := range register(t, e, "bar", newDevice(t, device, user, "calls/*")).Open {
			list = append(list, o.Offset)
		}
		return list
	}
	want := func(what, device, user string, want ...uint64) {
		t.Helper()
		if got := offered(device, user); !slices.Equal(got, append([]uint64{}, want...)) {
			t.Errorf("%s: %s is offered %v, want %v", what, device, got, want)
		}
	}
	one := commitCritical(t, e, newCritical(t, roxy.AckAny))
	each := commitCritical(t, e, newCritical(t, roxy.AckUser))
	every := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	want("nothing is confirmed", "ann-1", "ann", one, each, every)
	confirm(t, e, "ann-2", "ann", each)
	want("another of her devices confirmed", "ann-1", "ann", one, every)
	confirm(t, e, "ann-1", "ann", every)
	want("she confirmed on this one", "ann-1", "ann", one)
	want("and not on that", "ann-2", "ann", one, every)
	confirm(t, e, "bob-1", "bob", one)
	want("one is enough", "ann-1", "ann")
	want("and has to confirm the others", "bob-1", "bob", each, every)
	advanced, err := e.Advance(t.Context(), "bar", open(t, e)["bar"])
	if err != nil || len(advanced) != 2 {
		t.Fatalf("%+v: %v", advanced, err)
	}
	if got := register(t, e, "bar", newDevice(t, "bob-1", "bob", "calls/*")).Open; len(got) != 2 || got[0].Attempt != 2 || !got[0].Due.Equal(advanced[0].Due) {
		t.Errorf("%+v after %+v", got, advanced)
	}
}

func repeatedCritical(t *testing.T, e Attentive) {
	team(t, e)
	ev := newCritical(t, roxy.AckAny)
	ev.ID = "key"
	r := commit(t, e, "bar", ev, ev)
	if want := []engine.Entry{{Offset: 1}, {Offset: 1, Duplicate: true}}; !reflect.DeepEqual(r.Entries, want) {
		t.Errorf("%+v, want %+v", r.Entries, want)
	}
	wantStatuses(t, "the first", confirm(t, e, "ann-1", "ann", 1), roxy.AckConfirmed)
	commit(t, e, "bar", ev)
	if got := open(t, e); len(got) != 0 {
		t.Errorf("a repetition opened %+v", got)
	}
}

func ordinaryEvent(t *testing.T, e Attentive) {
	team(t, e)
	commit(t, e, "bar", newEvents(t, "calls/1", 3)...)
	for _, offset := range []uint64{0, 2, 9} {
		_, err := e.Critical(t.Context(), "bar", offset)
		wantMember(t, err, roxy.NotFound, "cursor")
	}
	if advanced, err := e.Advance(t.Context(), "bar", []engine.OpenAck{{Offset: 2, Attempt: 1}}); err != nil || len(advanced) != 0 {
		t.Errorf("%+v: %v", advanced, err)
	}
}

// A caller whose context ends looks at nothing that the engine still writes, and what it asked for happened or did not.
func callsGivenUp(t *testing.T, e Attentive) {
	team(t, e)
	offset := commitCritical(t, e, newCritical(t, roxy.AckDevice))
	var wg sync.WaitGroup
	for _, seed := range []uint64{1, 2, 3, 4} {
		rng := rand.New(rand.NewPCG(seed, 5)) //nolint:gosec // a test's dice
		wg.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				go cancel()
				head := roxy.Cursor{Offset: offset}
				said := engine.Acknowledgement{Device: "ann-1", User: "ann", Delivered: &head, Confirmed: []uint64{offset}}
				var err error
				switch rng.IntN(6) {
				case 0:
					var r engine.Registration
					r, err = e.Register(ctx, "bar", newDevice(t, "ann-1", "ann", "calls/*"), 0)
					r.Open = append(r.Open, engine.OpenAck{})
				case 1:
					_, err = e.Acknowledge(ctx, "bar", said)
					said.Confirmed[0], head.Offset = 7, 7
				case 2:
					var list []engine.Critical
					list, err = e.Advance(ctx, "bar", []engine.OpenAck{{Offset: offset, Attempt: 9}})
					_ = append(list, engine.Critical{})
				case 3:
					var c engine.Critical
					c, err = e.Critical(ctx, "bar", offset)
					c.Offset = 7
				case 4:
					_, err = e.Devices(ctx, "bar")
				default:
					_, err = e.Open(ctx)
				}
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantStatuses(t, "afterwards", confirm(t, e, "bob-1", "bob", offset), roxy.AckConfirmed)
}
