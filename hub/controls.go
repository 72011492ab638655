package hub

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/roxyhub/roxy"
)

// What the hub itself says on a stream, and how the stream tells where it is.

// hello is the first event. It moves the client to where the stream begins, unless a reset follows: a client that were
// cut off between the two would come back from behind the hole, and never hear of it.
func (st *stream) hello(from start) error {
	retry, at := jitter(helloRetry), st.place()
	c := Control{Type: "roxy:hello", Cursor: at, Retry: retry}
	if from.reset != "" {
		c.Cursor, at = roxy.Cursor{}, from.asked
	}
	c.Data = Hello{
		Connection: st.sub.Connection, Device: st.sub.Device, Cursor: cursorText(at), View: st.views.name(st.sub.Identity.Roles), Epoch: st.epoch,
		Heartbeat: st.sub.Heartbeat.String(), Time: time.Now().UTC(), Retry: retry.Milliseconds(),
	}
	return st.control(c)
}

func (st *stream) heartbeat(now time.Time) Control {
	c := st.place()
	return Control{Type: "roxy:heartbeat", Cursor: c, Data: Heartbeat{Time: now.UTC(), Cursor: cursorText(c)}}
}

func (st *stream) reset(ctx context.Context, reason string, offset uint64) error {
	if st.device != nil {
		if err := st.skip(ctx, st.cursor(offset)); err != nil {
			return err
		}
	}
	st.sent = offset
	st.hub.stats.resets.add(reason)
	return st.control(Control{Type: "roxy:reset", Cursor: st.place(), Data: Reset{Reason: reason, Cursor: st.cursor(offset).String()}})
}

// place is where the client may go on from: nowhere while it holds a part of a snapshot, which it would take for all.
func (st *stream) place() roxy.Cursor {
	if !st.whole {
		return roxy.Cursor{}
	}
	return st.cursor(st.sent)
}

// bye tells the subscriber why the hub closes; it is the last write, and nobody minds when it fails.
func (st *stream) bye() {
	st.mu.Lock()
	reason, parked := st.reason, st.parked != nil
	st.mu.Unlock()
	if parked {
		return // it was said where the socket is
	}
	_ = st.sink.Write(st.farewell(reason))
}

// farewell returns the frame that says why the hub closes, as the last bytes of the stream.
func (st *stream) farewell(reason Reason) []byte {
	retry := jitter(byeRetry)
	if reason == Replaced {
		retry = jitter(replacedRetry)
	}
	p := st.pack(nil, st.sub.Encoding.AppendControl(nil, Control{
		Type: "roxy:bye", Retry: retry, Data: Bye{Reason: reason, Retry: retry.Milliseconds()},
	}))
	if st.gzip != nil {
		p = st.gzip.end(p)
	}
	return p
}

func (st *stream) control(c Control) error {
	st.awake.buf = st.sub.Encoding.AppendControl(st.awake.buf[:0], c)
	return st.write(st.awake.buf, 0)
}

// How long a subscriber is asked to wait before it comes again; jittered by half either way.
const (
	helloRetry = 2 * time.Second
	byeRetry   = 2 * time.Second
	// replacedRetry keeps two pages that share a device, and do not read goodbyes, from replacing each other all day.
	replacedRetry = 10 * time.Minute
)

// jitter returns between half and one and a half of d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d) //nolint:gosec // spreads load, guards nothing
}
