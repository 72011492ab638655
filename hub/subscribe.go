package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Subscription is what a stream asks for.
type Subscription struct {
	Connection string // its id, from NewConnectionID, when the connection outlives the stream; "" makes one
	Identity   roxy.Identity
	Patterns   []roxy.Pattern // none: the stream is given nothing but the hub's own events
	Types      []string       // only these; empty is every type
	After      *roxy.Cursor   // resume behind it; nil is from now on, unless Earliest
	Earliest   bool           // from the oldest retained event on
	Snapshot   bool           // begin with the present entities, unless what was missed since After can be replayed
	Device     string         // whose mailbox it is, and which hears what became of its mutations; "" for none
	Heartbeat  time.Duration  // something is sent at least this often
	Encoding   Encoding
	Gzip       bool   // what Encoding spells goes out as a gzip member, complete when the hub ends the stream
	Transport  string // for the operator: sse, ws
	Remote     string // the client's address, for the operator
	Ended      func() // called once when a stream that began is over, from any goroutine; nil for nobody
}

// Subscribe gives sink what sub asks for until ctx ends, the sink fails or the hub ends the stream, having said why. When
// the sink is a ConnSink whose socket can be parked, Subscribe returns nil once the stream is live and the stream goes
// on without a goroutine, until its peer or the hub ends it; sub.Ended tells when.
// A *roxy.Problem says that nothing was written: Forbidden for a pattern outside the grant, Overloaded while closing, NotReady when the
// log cannot be read. nil
// says that the stream is over.
func (h *Hub) Subscribe(ctx context.Context, sub Subscription, sink Sink) error {
	if err := h.admits(&sub); err != nil {
		return err
	}
	sub.Patterns = slices.Compact(slices.SortedFunc(slices.Values(sub.Patterns), comparePatterns))
	sub.Types = slices.Compact(slices.Sorted(slices.Values(sub.Types)))
	sub.Connection = cmp.Or(sub.Connection, NewConnectionID())
	st := &stream{
		hub: h, shard: h.shardOf(sub.Identity.Tenant), sub: sub, since: time.Now().UTC(), sink: sink,
		expires: sub.Identity.Expires, lastWrite: time.Now(),
	}
	st.wake()
	if sub.Gzip {
		st.gzip = &gzipStream{}
	}
	st.token = &st.sub.Identity
	st.tenant = st.shard.open(sub.Identity.Tenant)
	from, err := h.begin(ctx, st)
	if err != nil {
		st.shard.close(st.tenant)
		return err
	}
	st.visit = h.presence.arrive(&st.sub)

	h.logger.LogAttrs(ctx, st.level(), "stream opened", st.names(slog.String("transport", sub.Transport))...)
	st.noteConnect()
	if err := st.run(ctx, from); !errors.Is(err, errParked) {
		st.conclude(ctx, err)
	}
	return nil
}

// begin finds out where the stream begins and registers it. The tenant's dispatch is open.
func (h *Hub) begin(ctx context.Context, st *stream) (from start, err error) {
	if st.sub.Device != "" {
		if st.device, err = h.registerDevice(ctx, &st.sub); err != nil {
			return start{}, err
		}
	}
	bounds, err := h.store.Bounds(ctx, st.sub.Identity.Tenant)
	if err != nil {
		return start{}, unreadable("log", err)
	}
	st.epoch = bounds.Epoch
	st.shard.settle(st.tenant, bounds)
	st.views = h.views.Load()
	from = st.start(bounds)
	if err := h.admit(bounds.Head - from.offset); err != nil {
		return start{}, err
	}
	if st.device != nil && from.reset == "" && !st.sub.Earliest {
		if from, err = st.mailbox(ctx, from, bounds); err != nil {
			return start{}, err
		}
	}
	if err := h.register(st); err != nil {
		return start{}, err
	}
	st.views = h.views.Load() // registered, so that whoever changes them finds the stream
	return from, nil
}

// conclude is the end of a stream that began: err says how it came.
func (st *stream) conclude(ctx context.Context, err error) {
	if errors.Is(err, errEnded) {
		st.bye()
	}
	st.finish()
	reason := st.outcome(err)
	st.hub.stats.ended.add(reason)
	st.noteDisconnect(reason)
	log := st.hub.logger
	log.LogAttrs(ctx, st.level(), "stream closed", st.names(slog.String("reason", reason), slog.Duration("after", time.Since(st.since)))...)
	if errors.Is(err, engine.ErrCorrupt) {
		log.LogAttrs(ctx, slog.LevelError, "the log is corrupt; the stream was closed rather than given wrong events", st.names(slog.Any("error", err))...)
	}
	st.shard.close(st.tenant)
	st.hub.presence.depart(st.visit)
	st.hub.unregister(st)
	if st.sub.Ended != nil {
		st.sub.Ended()
	}
}

// level is how loud the stream's beginning and end are: the hub's own streams are not worth telling, nor are those that
// wait for a subscription.
func (st *stream) level() slog.Level {
	if engine.SystemTenant(st.sub.Identity.Tenant) || len(st.sub.Patterns) == 0 {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// names are the stream in a line of the log.
func (st *stream) names(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("tenant", st.sub.Identity.Tenant), slog.String("user", st.sub.Identity.User), slog.String("connection", st.sub.Connection),
	}, more...)
}

// admits checks what sub asks for against its identity's grant.
func (h *Hub) admits(sub *Subscription) error {
	for _, p := range sub.Patterns {
		if !sub.Identity.Grant.MayRead(p) {
			return &roxy.Problem{Code: roxy.Forbidden, Member: "topic", Detail: fmt.Sprintf("pattern %q lies outside what %q may read", p, sub.Identity.User)}
		}
	}
	return nil
}

// outcome names the end of a stream for the log and the metric.
func (st *stream) outcome(err error) string {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case st.reason != "":
		return string(st.reason)
	case errors.Is(err, engine.ErrCorrupt):
		return "corrupt"
	case errors.Is(err, engine.ErrClosed):
		return "closed"
	case errors.Is(err, errStuck):
		return string(Slow)
	default:
		return "client"
	}
}

// start is where a stream begins.
type start struct {
	offset   uint64
	reset    string      // why what was asked for cannot be replayed; "" when it can
	snapshot bool        // the present entities come first
	asked    roxy.Cursor // where it was to resume; zero when it was not
}

// start resolves what the subscription asks for. After a reset the stream begins at the head: the client fetches the
// present state anew, so that what is still retained would only be repeated.
func (st *stream) start(b engine.Bounds) start {
	after, snapshot := st.sub.After, false
	if after == nil && st.device != nil && !st.sub.Earliest {
		after, snapshot = &st.device.Cursor, st.sub.Snapshot // it kept nothing, and is given what is and what waited for it
	}
	switch {
	case st.sub.Earliest:
		return start{offset: b.First - 1}
	case after == nil:
		return start{offset: b.Head, snapshot: st.sub.Snapshot}
	}
	reset := ""
	switch {
	case after.Epoch != b.Epoch || after.Offset > b.Head: // a log that lost its end, from an old backup, is another life too
		reset = "epoch"
	case after.Offset+1 < b.First:
		reset = "retention"
	default:
		return start{offset: after.Offset, snapshot: snapshot, asked: *after}
	}
	return start{offset: b.Head, reset: reset, snapshot: st.sub.Snapshot, asked: *after}
}

func (sub *Subscription) matches(t roxy.Topic) bool { return hears(sub.Patterns, t) }

func hears(patterns []roxy.Pattern, t roxy.Topic) bool {
	for _, p := range patterns {
		if p.Matches(t) {
			return true
		}
	}
	return false
}

// exactTopics returns the topics that sub names one by one; nil when a pattern has a wildcard.
func (sub *Subscription) exactTopics() []roxy.Topic {
	topics := make([]roxy.Topic, 0, len(sub.Patterns))
	for _, p := range sub.Patterns {
		t, ok := p.Topic()
		if !ok {
			return nil
		}
		topics = append(topics, t)
	}
	return topics
}
