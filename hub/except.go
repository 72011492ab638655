package hub

import (
	"slices"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/fanout"
)

// Events that one device is not to have: its streams share the log of their classes with others, so that they are found
// when such an event is appended, and their readers skip it.

// excepted reports whether e is for anybody but the subscription's device.
func (sub *Subscription) excepted(e *roxy.Event) bool {
	return e.Except != "" && e.Except == sub.Device
}

// except returns the readers of c's log that are not to have e, valid until the next call.
func (s *shard) except(t *tenant, c *class, e *roxy.Event) []*fanout.Reader {
	if e.Except == "" {
		return nil
	}
	s.excepted = s.excepted[:0]
	for _, st := range t.devices[e.Except] {
		if st.class == c {
			s.excepted = append(s.excepted, st.reader)
		}
	}
	return s.excepted
}

// named notes the device of a stream that joins.
func (t *tenant) named(st *stream) {
	if device := st.sub.Device; device != "" {
		t.devices[device] = append(t.devices[device], st)
	}
}

// unnamed undoes named.
func (t *tenant) unnamed(st *stream) {
	device := st.sub.Device
	if streams := slices.DeleteFunc(t.devices[device], func(o *stream) bool { return o == st }); len(streams) == 0 {
		delete(t.devices, device)
	} else {
		t.devices[device] = streams
	}
}
