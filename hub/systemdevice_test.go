package hub

import (
	"testing"

	"github.com/roxyhub/roxy"
)

// The hub's own devices are the engine's business: they are in no list, and nobody can speak for them or forget them.
func TestTheHubsOwnDevicesAreOutOfReach(t *testing.T) {
	f, ann := startQuick(t, Options{}), all(t, "bar", "ann")
	ann.Grant.Admin = true
	own := roxy.Device{Name: "$webhook", User: "ann"}
	if _, err := f.engine.Register(t.Context(), "bar", own, 0); err != nil {
		t.Fatal(err)
	}
	f.onDevice(t, ann, "tablet", nil)
	list, _, err := f.Devices(t.Context(), "bar")
	if err != nil || len(list) != 1 || list[0].Name != "tablet" {
		t.Errorf("devices: %+v %v", list, err)
	}
	problem(t, f.Forget(t.Context(), ann, own.Name), roxy.InvalidParameter, "device")
	_, _, err = f.Acknowledge(t.Context(), ann, Acks{Device: own.Name})
	problem(t, err, roxy.InvalidParameter, "device")
}
