package disk

import (
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

func TestADeviceBeginsAtTheCursorThatItIsGiven(t *testing.T) {
	e := open(t, Options{})
	r, err := e.Commit(t.Context(), "bar", []roxy.Event{event(t, "orders/1", "1"), event(t, "orders/1", "2"), event(t, "orders/1", "3")})
	if err != nil {
		t.Fatal(err)
	}
	for name, given := range map[string]roxy.Cursor{"$own": {Epoch: r.Epoch, Offset: 1}, "tablet": {}} {
		want := given
		if given.Epoch == "" {
			want = roxy.Cursor{Epoch: r.Epoch, Offset: 3}
		}
		for range 2 { // known by then, it keeps what it has
			got, err := e.Register(t.Context(), "bar", roxy.Device{Name: name, User: "u", Cursor: given}, 0)
			if err != nil || got.Cursor != want {
				t.Errorf("%s: %s %v, want %s", name, got.Cursor, err, want)
			}
			given.Offset = 2
		}
	}
}

func TestSilenceForgetsDevicesButNotTheHubsOwn(t *testing.T) {
	now := time.Now()
	e := open(t, Options{now: func() time.Time { return now }})
	for _, name := range []string{"$own", "tablet"} {
		if _, err := e.Register(t.Context(), "bar", roxy.Device{Name: name, User: "u"}, 0); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(deviceLife + time.Hour)
	if err := e.forgetDevices(); err != nil {
		t.Fatal(err)
	}
	if list, err := e.Devices(t.Context(), "bar"); err != nil || len(list) != 1 || list[0].Name != "$own" {
		t.Errorf("devices: %+v %v", list, err)
	}
}
