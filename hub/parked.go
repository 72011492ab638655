package hub

import (
	"errors"
	"net"
	"time"

	"github.com/roxyhub/roxy/internal/fanout"
)

// ConnSink is a Sink over a connection that is nobody else's: the hub closes it when the stream is over, and may park
// its socket meanwhile.
type ConnSink interface {
	Sink
	// Conn returns the connection, or nil when there is none of that kind.
	Conn() net.Conn
}

// early is how much before its time a heartbeat of a parked stream is due: shards look at the time in ticks of 250 ms.
const early = 500 * time.Millisecond

// errParked says that a shard of the fan-out has the stream now.
var errParked = errors.New("hub: stream is parked")

// errStuck says that the socket took nothing for too long.
var errStuck = errors.New("hub: socket is stuck")

// errPeer says that the other side closed.
var errPeer = errors.New("hub: the peer closed")

func connectionOf(s Sink) net.Conn {
	if c, ok := s.(ConnSink); ok {
		return c.Conn()
	}
	return nil
}

// park hands a live stream to the fan-out when its socket can be handed over. From then on the stream is the shard's:
// Due, Wrote, Closed and Released are called there.
func (st *stream) park() (bool, error) {
	c := connectionOf(st.sink)
	if c == nil {
		return false, nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.reason != "" {
		return false, errEnded
	}
	if st.hub.running.Err() != nil { // the shards are about to end
		return false, errEnded
	}
	socket, ok, err := fanout.Detach(c)
	if !ok || err != nil {
		return false, err
	}
	now := time.Now()
	st.buf, st.packed, st.ended, st.refresh = nil, nil, nil, nil
	st.sink = nil // with it goes all that the server keeps for a request
	st.parked = st.hub.parker.Park(socket, st.reader, st, earlier(now.Add(st.sub.Heartbeat-early), st.expires, now))
	return true, nil
}

// Due gives a heartbeat or says goodbye.
func (st *stream) Due(now time.Time, busy bool) (frame []byte, next time.Time, last bool) {
	st.mu.Lock()
	reason, endedAt, expires := st.reason, st.endedAt, st.expires
	if reason == "" && !expires.IsZero() && !now.Before(expires) {
		reason, endedAt = TokenExpired, now
		st.reason, st.endedAt = reason, endedAt
	}
	st.mu.Unlock()
	switch {
	case reason != "" && busy: // it gets its goodbye when it takes the rest of its frame soon
		return nil, now.Add(byeTime), now.Sub(endedAt) >= byeTime
	case reason != "":
		return st.farewell(reason), now, true
	}
	beat := st.lastWrite.Add(st.sub.Heartbeat - early)
	if now.Before(beat) || busy {
		return nil, earlier(beat, expires, now), false
	}
	dispatched := st.tenant.dispatched.Load() // before looking whether anything up to here is still to be sent
	if st.reader.Pending() == 0 {
		st.advance(dispatched)
		frame = st.pack(st.sub.Encoding.AppendControl(nil, st.heartbeat(now)))
		st.packed = nil
	}
	return frame, earlier(now.Add(st.sub.Heartbeat-early), expires, now), false
}

// earlier returns when a parked stream is to be looked at: at beat, or before when its identity expires.
func earlier(beat, expires, now time.Time) time.Time {
	if !expires.IsZero() && expires.Before(beat) {
		beat = expires
	}
	if beat.Before(now) {
		return now
	}
	return beat
}

// Wrote counts what has left.
func (st *stream) Wrote(batch *fanout.Batch, bytes int, at time.Time) {
	st.lastWrite = at
	s := st.hub.stats
	s.bytesOut.Add(uint64(bytes)) //nolint:gosec // never negative
	if batch == nil {
		return
	}
	s.eventsOut.Add(uint64(batch.Frames)) //nolint:gosec // never negative
	st.gave(batch)
	s.deliveryLatency.Observe(float64(at.UnixNano()-batch.Stamp) / 1e9)
}

// Closed ends the stream, away from the shard.
func (st *stream) Closed(why fanout.Cause) {
	err := map[fanout.Cause]error{fanout.Peer: errPeer, fanout.Last: errEnded, fanout.Stuck: errStuck}[why]
	st.hub.loose.Go(func() {
		st.shard.leave(st.tenant, st)
		st.conclude(st.hub.running, err)
	})
}

// Released takes the stream back to a goroutine: it fell out of its class's queue, and goes on from the durable log.
func (st *stream) Released(socket fanout.Socket, rest fanout.Rest) {
	st.hub.loose.Go(func() { st.resume(socket, rest) })
}

func (st *stream) resume(socket fanout.Socket, rest fanout.Rest) {
	ctx := st.hub.running
	st.shard.leave(st.tenant, st)
	c, err := socket.Conn()
	if err == nil {
		st.unpark(c)
		err = st.flush(rest)
	}
	if err == nil {
		st.hub.stats.lagged.Add(1)
		err = st.cycle(ctx, true)
	}
	if !errors.Is(err, errParked) {
		st.conclude(ctx, err)
	}
}

// flush sends the rest of a frame. A socket that had taken nothing for too long by then is too slow.
func (st *stream) flush(rest fanout.Rest) error {
	if len(rest.Pending) == 0 {
		return nil
	}
	if err := st.send(rest.Pending, rest.Batch.Frames); err != nil {
		return err
	}
	if rest.Batch.Bytes != nil {
		st.gave(&rest.Batch)
	}
	if !rest.Blocked.IsZero() && time.Since(rest.Blocked) > stuckWrite {
		st.end(Slow)
		return errEnded
	}
	return nil
}

// unpark gives the stream a sink over its connection again.
func (st *stream) unpark(c net.Conn) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.parked, st.sink, st.deadlineAt = nil, plainConnection{c}, time.Time{}
	st.ended, st.refresh = make(chan struct{}), make(chan struct{}, 1)
	if st.reason != "" {
		close(st.ended)
		st.sink.SetDeadline(st.endedAt.Add(byeTime))
	}
}

// plainConnection is a Sink over a connection whose head was written long ago.
type plainConnection struct{ conn net.Conn }

// Conn returns the connection.
func (c plainConnection) Conn() net.Conn { return c.conn }

// Write sends p.
func (c plainConnection) Write(p []byte) error {
	_, err := c.conn.Write(p)
	return err
}

// SetDeadline bounds Write. It fails only on a connection that is closed, where Write fails too.
func (c plainConnection) SetDeadline(t time.Time) { _ = c.conn.SetWriteDeadline(t) }
