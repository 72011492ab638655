package hub

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
	"github.com/roxyhub/roxy/internal/fanout"
)

// Bounds on a socket that takes nothing.
const (
	// stallLimit ends a stream whose socket takes nothing for this long, the kernel's buffers being full: longer than
	// the 3–5 s that a tablet needs to change its Wi-Fi cell.
	stallLimit = 10 * time.Second
	// stuckWrite tells a slow reader from a burst: a stream that fell out of its class's queue while one write took
	// longer is closed as slow, any other goes on from the durable log at its own pace.
	stuckWrite = time.Second
	// byeTime bounds the last write of a stream that the hub closes.
	byeTime = 500 * time.Millisecond
)

// Sink is a stream's way out. Write is called by one goroutine.
type Sink interface {
	// Write sends p, all of it, now.
	Write(p []byte) error
	// SetDeadline bounds the Writes from now on, one in progress included. Any goroutine may call it.
	SetDeadline(t time.Time)
}

// stream is one subscriber's connection. Its goroutine, which called Subscribe, alone writes to the sink.
type stream struct {
	hub   *Hub
	shard *shard
	sub   Subscription
	since time.Time
	sink  Sink

	tenant *tenant
	class  *class // nil while not joined; guarded by shard.mu
	epoch  string
	views  *views     // what its roles see, for all of its life
	device *attention // nil for a stream that names no device
	visit  *visit     // by which its user is present; nil when it makes nobody present

	// Owned by the stream's goroutine.
	sent      uint64 // every event up to this offset that is for the stream was written
	whole     bool   // it holds all up to sent: a snapshot, if one was asked for, was given to its end
	lastWrite time.Time
	gzip      *gzipStream // nil for a stream that is not compressed
	watcher   *watcher    // nil while it does not hear who is present

	awake *awake // nil while parked; set under mu

	mu       sync.Mutex     // also for what share changes of sub, which the owner reads without
	reader   *fanout.Reader // nil while not joined
	token    *roxy.Identity // sub.Identity, or that of the last refresh
	expires  time.Time      // of token
	reason   Reason         // why the hub ends the stream; "" while it does not
	endedAt  time.Time      // when reason was set
	parked   *fanout.Parked // nil while a goroutine has the stream
	finished bool           // the sink is the transport's again
	position uint64         // sent, for others to see
}

// awake is what a stream has besides while a goroutine has it.
type awake struct {
	ended   chan struct{}    // closed when the hub ends the stream
	refresh chan struct{}    // readable when expires moved
	yield   chan chan<- bool // asks to be parked, and is told whether that was done

	deadlineAt  time.Time // the deadline in force, so that it is set once in a while and not at each write
	buf, packed []byte    // kept for their memory
}

// wake gives the stream what its goroutine needs.
func (st *stream) wake() {
	st.awake = &awake{ended: make(chan struct{}), refresh: make(chan struct{}, 1), yield: make(chan chan<- bool)}
}

// errEnded stands for an end that the hub decided: stream.reason tells which.
var errEnded = errors.New("hub: stream ended by the hub")

// errLagging sends a stream that fell out of its class's queue back to the durable log.
var errLagging = errors.New("hub: stream fell behind its queue")

// end makes the stream say bye and return, soon even when its socket is stuck. The first reason counts.
func (st *stream) end(reason Reason) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reason != "" || st.finished {
		return
	}
	st.reason, st.endedAt = reason, time.Now()
	if st.parked != nil {
		st.parked.Poke()
		return
	}
	close(st.awake.ended)
	st.sink.SetDeadline(st.endedAt.Add(byeTime))
}

// finish gives the sink back to the transport, or closes the connection that it left to the hub.
func (st *stream) finish() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.finished = true
	if st.parked != nil {
		return // its socket is closed
	}
	st.sink.SetDeadline(time.Time{})
	if c := connectionOf(st.sink); c != nil {
		_ = c.Close() // nothing is left to tell
	}
}

func (st *stream) follow(r *fanout.Reader) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reader != nil {
		st.reader.Leave()
	}
	st.reader = r
}

// share makes what decides the bytes one copy for all streams of c. It stays equal; the lock is for those who look.
func (st *stream) share(c *class) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.sub.Patterns, st.sub.Types, st.sub.Identity.Roles = c.patterns, c.types, c.roles
	st.hub.presence.share(st.visit, c.patterns)
}

// run gives the stream what it asked for until it ends, and returns why.
func (st *stream) run(ctx context.Context, from start) error {
	st.sent, st.whole = from.offset, !from.snapshot
	if err := st.hello(from); err != nil {
		return err
	}
	if from.reset != "" {
		if err := st.reset(ctx, from.reset, from.offset); err != nil {
			return err
		}
	}
	if st.device != nil {
		if err := st.offer(ctx); err != nil {
			return err
		}
	}
	return st.cycle(ctx, false)
}

// cycle catches up, unless the stream has joined its class, and follows, again and again, until the stream ends or is parked.
func (st *stream) cycle(ctx context.Context, live bool) error {
	for {
		var replayed uint64
		var entities *uint64
		var err error
		if !st.whole {
			entities, err = st.snapshot(ctx)
		}
		if err == nil && st.class == nil {
			replayed, err = st.catchUp(ctx)
		}
		if err == nil && !live {
			live = true
			c := st.cursor(st.sent)
			err = st.control(Control{Type: "roxy:live", Cursor: c, Data: Live{Cursor: c.String(), Replayed: replayed, Entities: entities}})
		}
		if err == nil {
			err = st.watch(ctx)
		}
		if err == nil {
			err = st.tail(ctx)
		}
		if errors.Is(err, errParked) {
			return err
		}
		st.shard.leave(st.tenant, st)
		switch {
		case errors.Is(err, errLagging):
			st.hub.stats.lagged.Add(1)
		case errors.Is(err, engine.ErrTrimmed):
			bounds, boundsErr := st.hub.store.Bounds(ctx, st.sub.Identity.Tenant)
			if boundsErr != nil {
				return boundsErr
			}
			st.epoch = bounds.Epoch
			if st.sub.Snapshot {
				st.whole, live = false, false
			}
			if err := st.reset(ctx, "retention", bounds.Head); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

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

// tail follows the class's log until the stream ends (errEnded), falls behind (errLagging) or its socket fails; or it
// leaves that to a shard of the fan-out (errParked).
func (st *stream) tail(ctx context.Context) error {
	if _, talks := st.sink.(Conversation); !talks { // else its listener has to know: Hub.Park
		if parked, err := st.park(); parked || err != nil {
			return cmp.Or(err, errParked)
		}
	}
	timer := time.NewTimer(st.untilDue())
	defer timer.Stop()
	for {
		// Read before the batch: when there is none, everything up to here was given.
		dispatched := st.tenant.dispatched.Load()
		batch, ok := st.reader.Next()
		switch {
		case !ok:
			return errLagging
		case len(batch.Bytes) > 0:
			began := time.Now()
			if err := st.send(batch.Bytes, batch.Frames); err != nil {
				return err
			}
			st.gave(&batch)
			st.hub.stats.deliveryLatency.Observe(float64(st.lastWrite.UnixNano()-batch.Stamp) / 1e9)
			if st.lastWrite.Sub(began) > stuckWrite && st.reader.Cut() {
				st.end(Slow)
			}
			if st.over() {
				return errEnded
			}
			if err := st.due(); err != nil { // a busy stream has an end too
				return err
			}
			continue
		default:
			st.advance(dispatched)
		}
		select {
		case <-st.awake.ended:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-st.reader.Woken():
		case parked := <-st.awake.yield:
			ok, err := st.park()
			if parked <- ok; ok || err != nil {
				return cmp.Or(err, errParked)
			}
		case <-st.awake.refresh:
			timer.Reset(st.untilDue())
		case <-timer.C:
			if err := st.due(); err != nil {
				return err
			}
			timer.Reset(st.untilDue())
		}
	}
}

// over reports whether the hub has ended the stream.
func (st *stream) over() bool {
	select {
	case <-st.awake.ended:
		return true
	default:
		return false
	}
}

// untilDue returns how long until a heartbeat or the end of the identity.
func (st *stream) untilDue() time.Duration {
	due := st.lastWrite.Add(st.sub.Heartbeat)
	if expires := st.expiry(); !expires.IsZero() && expires.Before(due) {
		due = expires
	}
	return time.Until(due)
}

func (st *stream) expiry() time.Time {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.expires
}

// due ends the stream when its identity has expired, and gives a heartbeat when nothing else was given for long enough.
func (st *stream) due() error {
	now := time.Now()
	if expires := st.expiry(); !expires.IsZero() && !now.Before(expires) {
		st.end(TokenExpired)
		return errEnded
	}
	if now.Sub(st.lastWrite) < st.sub.Heartbeat {
		return nil
	}
	return st.control(st.heartbeat(now))
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

// write sends p, text of the stream's own, which holds that many events.
func (st *stream) write(p []byte, events int) error {
	if st.gzip != nil {
		if !st.mayWrite() { // what is packed has to be sent: the goodbye counts on it
			return errEnded
		}
		st.awake.packed = st.pack(st.awake.packed[:0], p)
		p = st.awake.packed
	}
	return st.send(p, events)
}

// mayWrite sees to it that the sink's deadline is far enough, unless the hub has ended the stream.
func (st *stream) mayWrite() bool {
	now := time.Now()
	return !now.After(st.awake.deadlineAt.Add(-stallLimit*9/10)) || st.extend(now.Add(stallLimit))
}

// send sends p as it is.
func (st *stream) send(p []byte, events int) error {
	if !st.mayWrite() {
		return errEnded
	}
	now := time.Now()
	if err := st.sink.Write(p); err != nil {
		if time.Since(now) > stuckWrite {
			st.end(Slow)
		}
		return err
	}
	st.lastWrite = time.Now()
	s := st.hub.stats
	s.bytesOut.Add(uint64(len(p)))
	s.eventsOut.Add(uint64(events)) //nolint:gosec // never negative
	return nil
}

// extend moves the sink's deadline, unless the hub has ended the stream.
func (st *stream) extend(to time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reason != "" {
		return false
	}
	st.awake.deadlineAt = to
	st.sink.SetDeadline(to)
	return true
}

func (st *stream) advance(offset uint64) {
	if offset > st.sent {
		st.moveTo(offset)
	}
}

func (st *stream) moveTo(offset uint64) {
	st.sent = offset
	st.mu.Lock()
	st.position = offset
	st.mu.Unlock()
	if st.device != nil {
		st.wrote(false)
	}
}

// wrote notes which critical events have been written to the device by now.
func (st *stream) wrote(private bool) {
	offsets := st.device.wrote(st.sent, private)
	written := make([]engine.Write, len(offsets))
	for i, offset := range offsets {
		written[i] = engine.Write{Offset: offset, Time: st.lastWrite, Transport: st.sub.Transport}
	}
	st.hub.written.add(st, written)
}

func (st *stream) cursor(offset uint64) roxy.Cursor {
	return roxy.Cursor{Epoch: st.epoch, Offset: offset}
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
