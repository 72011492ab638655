package hub

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
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

// Conversation is a ConnSink whose client has something to say. Conn returns nil while a goroutine listens to it.
type Conversation interface {
	ConnSink
	// Received takes what the client says while its stream is parked; p is valid until it returns, and it must not block.
	// reply goes out between two events. With wake the stream gets a goroutine again, and Listen is told p.
	Received(p []byte) (reply []byte, wake bool)
	// Resume takes the connection back. The stream goes on over the sink until the context that it returns ends.
	Resume(c net.Conn) context.Context
	// Listen follows Resume once the sink may be written to by others: it begins with what Received did not answer.
	Listen(received []byte)
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

// parking starts the fan-out's shards when the first stream is to be parked: a hub none of whose streams has a socket waits
// for no kernel.
type parking struct {
	mu     sync.Mutex
	parker *fanout.Parker
	closed bool
}

// open returns the shards. The error is the system's, or that the hub has closed them.
func (p *parking) open() (*fanout.Parker, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errEnded
	}
	if p.parker == nil {
		parker, err := fanout.StartParker(runtime.GOMAXPROCS(0))
		if err != nil {
			return nil, err
		}
		p.parker = parker
	}
	return p.parker, nil
}

func (p *parking) close() {
	p.mu.Lock()
	parker, over := p.parker, p.closed
	p.closed = true
	p.mu.Unlock()
	if parker != nil && !over {
		parker.Close()
	}
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
	parker, err := st.hub.parking.open()
	if errors.Is(err, errEnded) {
		return false, err
	}
	if err != nil {
		st.hub.logger.LogAttrs(st.hub.running, slog.LevelWarn, "a stream keeps its goroutine", st.names(slog.Any("error", err))...)
		return false, nil
	}
	socket, ok, err := fanout.Detach(c)
	if !ok || err != nil {
		return false, err
	}
	now := time.Now()
	st.awake = nil
	var ears fanout.Listener
	if talk, ok := st.sink.(Conversation); ok {
		ears = talk
	} else {
		st.sink = nil // with it goes all that the server keeps for a request
	}
	st.parked = parker.Park(socket, st.reader, st, ears, earlier(now.Add(st.sub.Heartbeat-early), st.expires, now))
	return true, nil
}

// Park parks the live stream of a Conversation, whose listener has yielded its connection, and reports whether it did. It
// does not while the stream is busy.
func (h *Hub) Park(connection string) bool {
	h.mu.Lock()
	st := h.streams[connection]
	h.mu.Unlock()
	if st == nil {
		return false
	}
	st.mu.Lock()
	awake := st.awake
	st.mu.Unlock()
	if awake == nil {
		return false
	}
	parked := make(chan bool, 1)
	select {
	case awake.yield <- parked:
		return <-parked
	default:
		return false
	}
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
		frame = st.pack(nil, st.sub.Encoding.AppendControl(nil, st.heartbeat(now)))
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
	cut := st.reader.Cut()
	if cut {
		st.hub.stats.lagged.Add(1)
		st.shard.leave(st.tenant, st)
	}
	c, err := socket.Conn()
	if err == nil {
		ctx = st.unpark(ctx, c)
		err = st.flush(rest, cut)
		if talk, ok := st.sink.(Conversation); ok {
			talk.Listen(rest.Received)
		}
	}
	if err == nil {
		err = st.cycle(ctx, true)
	}
	if !errors.Is(err, errParked) {
		st.shard.leave(st.tenant, st)
		st.conclude(ctx, err)
	}
}

// flush sends the rest of a frame, of a stream that has been ended too: its goodbye would be the middle of an event. The
// socket of a reader that was cut is too slow when it had taken nothing for too long by then.
func (st *stream) flush(rest fanout.Rest, cut bool) error {
	if len(rest.Pending) == 0 {
		return nil
	}
	err := st.send(rest.Pending, rest.Batch.Frames)
	ended := errors.Is(err, errEnded)
	if ended {
		err = st.sink.Write(rest.Pending) // within the time for a goodbye
	}
	if err != nil {
		return err
	}
	if rest.Batch.Bytes != nil {
		st.gave(&rest.Batch)
	}
	if ended {
		return errEnded
	}
	if cut && !rest.Blocked.IsZero() && time.Since(rest.Blocked) > stuckWrite {
		st.end(Slow)
		return errEnded
	}
	return nil
}

// unpark gives the stream a sink over its connection again, and returns the context in which it goes on.
func (st *stream) unpark(ctx context.Context, c net.Conn) context.Context {
	st.mu.Lock()
	defer st.mu.Unlock()
	if talk, ok := st.sink.(Conversation); ok {
		ctx = talk.Resume(c)
	} else {
		st.sink = plainConnection{c}
	}
	st.parked = nil
	st.wake()
	if st.reader != nil {
		st.reader.Unpark()
	}
	if st.reason != "" {
		close(st.awake.ended)
		st.sink.SetDeadline(st.endedAt.Add(byeTime))
	}
	return ctx
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
