package enginetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Attentive is a log that knows devices and what they acknowledge.
type Attentive interface {
	TrimmableLog
	engine.Devices
	engine.Acks
}

// Devices runs the contract of engine.Devices against what open returns, as Log does, but each law in a bubble of
// testing/synctest: an engine that open returns waits for nothing outside the process.
func Devices(t *testing.T, open func(t *testing.T) Attentive) {
	t.Helper()
	inBubbles(t, open, deviceLaws())
}

func inBubbles(t *testing.T, open func(t *testing.T) Attentive, laws []law[Attentive]) {
	t.Helper()
	for _, law := range laws {
		t.Run(law.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { law.holds(t, open(t)) })
		})
	}
}

func deviceLaws() []law[Attentive] {
	return []law[Attentive]{
		{"a new device begins at the head", newDeviceAtHead},
		{"a device that comes back stands where it was", deviceComesBack},
		{"a name is its first user's", nameIsTheFirstUsers},
		{"a user has no more devices than may be", devicesPerUser},
		{"an acknowledgement alone moves a cursor, and forward", cursorMovesForward},
		{"a forgotten device is unknown, and begins anew", forgottenDevice},
		{"devices are listed by name, of one tenant", devicesByName},
		{"a device keeps nothing of the caller's", deviceSharesNothing},
		{"whoever is heard of was seen", heardOfIsSeen},
		{"registered at once, a name has one owner", oneOwner},
	}
}

func newDevice(t testing.TB, name, user string, patterns ...string) roxy.Device {
	t.Helper()
	d := roxy.Device{Name: name, User: user}
	for _, s := range patterns {
		p, err := roxy.ParsePattern(s)
		if err != nil {
			t.Fatal(err)
		}
		d.Patterns = append(d.Patterns, p)
	}
	return d
}

func register(t testing.TB, e engine.Devices, tenant string, d roxy.Device) engine.Registration {
	t.Helper()
	r, err := e.Register(t.Context(), tenant, d, 0)
	if err != nil {
		t.Fatalf("register %s: %v", d.Name, err)
	}
	return r
}

func acknowledge(t testing.TB, e engine.Acks, tenant string, said engine.Acknowledgement) engine.Acknowledged {
	t.Helper()
	out, err := e.Acknowledge(t.Context(), tenant, said)
	if err != nil {
		t.Fatalf("acknowledge for %s: %v", said.Device, err)
	}
	return out
}

func wantMember(t testing.TB, err error, code roxy.Code, member string) {
	t.Helper()
	var p *roxy.Problem
	if !errors.As(err, &p) || p.Code != code || p.Member != member {
		t.Errorf("%v, want %s at %s", err, code, member)
	}
}

func devices(t testing.TB, e engine.Devices, tenant string) []roxy.Device {
	t.Helper()
	list, err := e.Devices(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func newDeviceAtHead(t *testing.T, e Attentive) {
	first := register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
	epoch := bounds(t, e, "bar").Epoch
	if want := (roxy.Cursor{Epoch: epoch}); !first.New || first.Cursor != want || first.Created.IsZero() || len(first.Open) != 0 {
		t.Errorf("%+v, want a new one at %s", first, want)
	}
	commit(t, e, "bar", newEvents(t, "orders/1", 3)...)
	if second := register(t, e, "bar", newDevice(t, "bar-2", "ann", "orders/*")); second.Cursor.Offset != 3 {
		t.Errorf("%+v, want a new one at 3", second)
	}
}

func deviceComesBack(t *testing.T, e Attentive) {
	before := register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
	commit(t, e, "bar", newEvents(t, "orders/1", 3)...)
	time.Sleep(time.Hour)
	changed := newDevice(t, "bar-1", "ann", "calls", "orders/**")
	changed.Roles, changed.Types = []string{"waiter"}, []string{"message"}
	after := register(t, e, "bar", changed)
	if after.New || after.Cursor != before.Cursor || !after.Created.Equal(before.Created) {
		t.Errorf("%+v, before %+v", after, before)
	}
	got := devices(t, e, "bar")
	if len(got) != 1 || !reflect.DeepEqual(got[0].Patterns, changed.Patterns) || !slices.Equal(got[0].Types, changed.Types) || !slices.Equal(got[0].Roles, changed.Roles) {
		t.Errorf("%+v, want what it subscribes to by now", got)
	}
}

func nameIsTheFirstUsers(t *testing.T, e Attentive) {
	register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
	_, registered := e.Register(t.Context(), "bar", newDevice(t, "bar-1", "bob", "calls"), 0)
	head := roxy.Cursor{Epoch: bounds(t, e, "bar").Epoch}
	_, acknowledged := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "bar-1", User: "bob", Delivered: &head})
	for what, err := range map[string]error{
		"register": registered, "acknowledge": acknowledged, "forget": e.Forget(t.Context(), "bar", "bob", "bar-1"),
	} {
		t.Log(what)
		wantMember(t, err, roxy.Forbidden, "device")
	}
	if got := devices(t, e, "bar"); len(got) != 1 || got[0].User != "ann" || got[0].Patterns[0].String() != "orders/*" {
		t.Errorf("%+v", got)
	}
	if r := register(t, e, "pub", newDevice(t, "bar-1", "bob", "calls")); !r.New {
		t.Error("another tenant's name is taken")
	}
}

func devicesPerUser(t *testing.T, e Attentive) {
	add := func(tenant, name, user string) error {
		_, err := e.Register(t.Context(), tenant, newDevice(t, name, user, "orders/*"), 2)
		return err
	}
	for _, name := range []string{"bar-1", "bar-2", "bar-1"} {
		if err := add("bar", name, "ann"); err != nil {
			t.Fatal(err)
		}
	}
	wantMember(t, add("bar", "bar-3", "ann"), roxy.RateLimited, "device")
	for what, err := range map[string]error{"another user's": add("bar", "bob-1", "bob"), "in another tenant": add("pub", "bar-3", "ann")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := e.Forget(t.Context(), "bar", "ann", "bar-1"); err != nil {
		t.Fatal(err)
	}
	if err := add("bar", "bar-3", "ann"); err != nil {
		t.Errorf("behind a forgotten one: %v", err)
	}
}

func cursorMovesForward(t *testing.T, e Attentive) {
	register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
	commit(t, e, "bar", newEvents(t, "orders/1", 9)...)
	epoch := bounds(t, e, "bar").Epoch
	at := func(offset uint64) *roxy.Cursor { return &roxy.Cursor{Epoch: epoch, Offset: offset} }
	for _, tt := range []struct {
		name string
		said engine.Acknowledgement
		want uint64
	}{
		{"written, which is not said by the device", engine.Acknowledgement{Written: []engine.Write{{Offset: 5, Time: time.Now()}}}, 0},
		{"skipped", engine.Acknowledgement{Skipped: at(7)}, 0},
		{"forward", engine.Acknowledgement{Delivered: at(4)}, 4},
		{"the same", engine.Acknowledgement{Delivered: at(4)}, 4},
		{"back", engine.Acknowledgement{Delivered: at(2)}, 4},
		{"beyond the head", engine.Acknowledgement{Delivered: at(10)}, 4},
		{"in another life of the log", engine.Acknowledgement{Delivered: &roxy.Cursor{Epoch: "another", Offset: 6}}, 4},
		{"nothing", engine.Acknowledgement{}, 4},
		{"to the head", engine.Acknowledgement{Delivered: at(9)}, 9},
	} {
		tt.said.Device, tt.said.User = "bar-1", "ann"
		if got := acknowledge(t, e, "bar", tt.said).Cursor; got != *at(tt.want) {
			t.Errorf("%s: %s, want %d", tt.name, got, tt.want)
		}
		if got := register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*")).Cursor; got != *at(tt.want) {
			t.Errorf("%s, registered again: %s, want %d", tt.name, got, tt.want)
		}
	}
}

func forgottenDevice(t *testing.T, e Attentive) {
	for _, user := range []string{"ann", ""} {
		register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
		commit(t, e, "bar", newEvents(t, "orders/1", 3)...)
		if err := e.Forget(t.Context(), "bar", user, "bar-1"); err != nil {
			t.Fatal(err)
		}
		_, err := e.Acknowledge(t.Context(), "bar", engine.Acknowledgement{Device: "bar-1", User: "ann"})
		wantMember(t, err, roxy.NotFound, "device")
		wantMember(t, e.Forget(t.Context(), "bar", user, "bar-1"), roxy.NotFound, "device")
		if got := devices(t, e, "bar"); len(got) != 0 {
			t.Errorf("%+v is there", got)
		}
	}
	if r := register(t, e, "bar", newDevice(t, "bar-1", "bob", "orders/*")); !r.New || r.Cursor.Offset != bounds(t, e, "bar").Head {
		t.Errorf("%+v, want a new one at the head", r)
	}
}

func devicesByName(t *testing.T, e Attentive) {
	var want []string
	for i := range 12 {
		want = append(want, fmt.Sprint("bar-", i))
		register(t, e, "bar", newDevice(t, fmt.Sprint("bar-", 11-i), "ann", "orders/*"))
		register(t, e, "bar2", newDevice(t, fmt.Sprint("pub-", i), "ann", "orders/*"))
	}
	slices.Sort(want)
	var got []string
	for _, d := range devices(t, e, "bar") {
		got = append(got, d.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := devices(t, e, "nobody"); len(got) != 0 {
		t.Errorf("%+v of nobody", got)
	}
}

func deviceSharesNothing(t *testing.T, e Attentive) {
	d := newDevice(t, "bar-1", "ann", "orders/*")
	d.Roles, d.Types = []string{"waiter"}, []string{"new"}
	register(t, e, "bar", d)
	d.Roles[0], d.Types[0], d.Patterns[0] = "thief", "old", newDevice(t, "", "", "calls").Patterns[0]
	if got := devices(t, e, "bar")[0]; got.Roles[0] != "waiter" || got.Types[0] != "new" || got.Patterns[0].String() != "orders/*" {
		t.Errorf("%+v took what its caller did later", got)
	}
}

func heardOfIsSeen(t *testing.T, e Attentive) {
	seen := func() time.Time { return devices(t, e, "bar")[0].Seen }
	register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*"))
	for _, tt := range []struct {
		name string
		said engine.Acknowledgement
		want bool
	}{
		{"written to", engine.Acknowledgement{Written: []engine.Write{{Offset: 1, Time: time.Now()}}}, false},
		{"said something", engine.Acknowledgement{Confirmed: []uint64{1}}, true},
		{"said that it is there", engine.Acknowledgement{}, true},
	} {
		time.Sleep(time.Hour)
		tt.said.Device, tt.said.User = "bar-1", "ann"
		acknowledge(t, e, "bar", tt.said)
		if got := seen().Equal(time.Now()); got != tt.want {
			t.Errorf("%s: seen at %s, it is %s", tt.name, seen(), time.Now())
		}
	}
	time.Sleep(time.Hour)
	if register(t, e, "bar", newDevice(t, "bar-1", "ann", "orders/*")); !seen().Equal(time.Now()) {
		t.Errorf("registered again: seen at %s, it is %s", seen(), time.Now())
	}
}

func oneOwner(t *testing.T, e Attentive) {
	for round := range 20 {
		name := fmt.Sprint("bar-", round)
		owners := make(chan string, 8)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				user := fmt.Sprint("user-", i)
				_, err := e.Register(t.Context(), "bar", newDevice(t, name, user, "orders/*"), 0)
				switch err {
				case nil:
					owners <- user
				default:
					wantMember(t, err, roxy.Forbidden, "device")
				}
			})
		}
		wg.Wait()
		if len(owners) != 1 {
			t.Fatalf("%d users own %s", len(owners), name)
		}
	}
}
