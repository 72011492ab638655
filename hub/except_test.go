package hub

import (
	"fmt"
	"testing"

	"github.com/roxyhub/roxy"
)

// A stream that fell out of its queue joins its class again, and is still the device's.
func TestDeviceThatFallsBehindIsStillExcepted(t *testing.T) {
	f := startQuick(t, Options{QueueEvents: 10})
	me := all(t, "bar", "u1")
	sub := Subscription{Identity: me, Patterns: []roxy.Pattern{pattern(t, "a")}, Device: "tablet-1"}
	r, _ := f.subscribe(t, sub)
	r.awaitLine(t, "C roxy:live")
	letGo := r.hold()
	var want []string
	for n := range 300 {
		e := event(t, "a", fmt.Sprint(n))
		if n%3 == 0 {
			e.Except = "tablet-1"
		} else {
			want = append(want, fmt.Sprint(n))
		}
		f.publish(t, me, e)
	}
	letGo()
	r.await(t, "the last event", func(lines []string) bool {
		_, data := events(lines)
		return len(data) >= len(want)
	})
	last := event(t, "a", `"last"`)
	last.Except = "tablet-1"
	f.publish(t, me, last, event(t, "a", `"end"`))
	lines := r.await(t, "the end", func(lines []string) bool {
		_, data := events(lines)
		return len(data) > len(want)
	})
	if _, data := events(lines); fmt.Sprint(data) != fmt.Sprint(append(want, `"end"`)) {
		t.Errorf("got %v", data)
	}
}

func TestDevicesThatLeftAreForgotten(t *testing.T) {
	f := startHub(t, Options{})
	sub := Subscription{Identity: all(t, "bar", "u1"), Patterns: []roxy.Pattern{pattern(t, "a")}}
	stays, _ := f.subscribe(t, sub)
	stays.awaitLine(t, "C roxy:live")
	for n := range 10 {
		sub.Device = fmt.Sprintf("tablet-%d", n%3)
		r, leave := f.subscribe(t, sub)
		r.awaitLine(t, "C roxy:live")
		if err := leave(); err != nil {
			t.Fatal(err)
		}
	}
	s := f.shardOf("bar")
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.tenants["bar"].devices; len(known) != 0 {
		t.Errorf("%d devices are known, and none is there", len(known))
	}
}
