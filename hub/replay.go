package hub

import (
	"context"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// replayWrite is how many bytes of a replay go in one write.
const replayWrite = 32 << 10

// catchUp gives the stream what lies between its position and the live log, joins it, and returns how many events it
// gave. While it reads before joining nothing is kept for the stream; once joined, what is appended meanwhile waits in
// its class's log, and that is bounded.
func (st *stream) catchUp(ctx context.Context) (replayed uint64, err error) {
	defer func() { st.hub.stats.replayDepth.Observe(float64(replayed)) }()
	for {
		// A cursor can be ahead of the dispatch for a moment: a publisher has it before the subscribers.
		if err := st.shard.reached(ctx, st.tenant, st.sent, st.awake.ended); err != nil {
			return replayed, err
		}
		dispatched, joined := st.shard.join(st.tenant, st, st.sent)
		n, err := st.replay(ctx, dispatched)
		replayed += n
		if err != nil || joined {
			return replayed, err
		}
	}
}

// replay gives what the log holds for the stream behind st.sent up to until.
func (st *stream) replay(ctx context.Context, until uint64) (given uint64, err error) {
	if until <= st.sent {
		return 0, nil
	}
	query := engine.Query{After: st.sent, Until: until, Topics: st.sub.exactTopics()}
	var pending []byte
	var envelope []byte
	hidden := st.views.hiddenFrom(st.sub.Identity.Roles)
	events, scanned := 0, 0
	flush := func(upTo uint64) error {
		if events > 0 {
			if err := st.write(pending, events); err != nil {
				return err
			}
			pending, events = pending[:0], 0
		}
		st.advance(upTo)
		if st.over() {
			return errEnded
		}
		return st.due()
	}
	now := time.Now()
	if err := st.afford(ctx, replayBegin); err != nil {
		return 0, err
	}
	cost := 0
	for e, err := range st.hub.chunks.events(ctx, st.sub.Identity.Tenant, query, &cost) {
		if err != nil {
			return given, err
		}
		if st.sub.takes(e) && !e.Expired(now) {
			envelope = appendEnvelope(envelope[:0], e, st.cursor(e.Offset), st.views.view(st.views.on(e.Topic).and(hidden)))
			if e.Ack != nil && st.device != nil {
				st.device.expect(e.Offset, false)
			}
			pending = st.sub.Encoding.AppendEvent(pending, st.cursor(e.Offset), e.Type, envelope)
			events++
			given++
			cost++
		}
		// A long run of events that are not for the stream still has to hear of its end and to beat.
		scanned++
		if len(pending) >= replayWrite || scanned%replayStep == 0 {
			if err := flush(e.Offset); err != nil {
				return given, err
			}
			now = time.Now()
		}
		for ; cost >= replayStep; cost -= replayStep {
			if err := st.afford(ctx, replayStep); err != nil {
				return given, err
			}
		}
	}
	st.hub.stats.eventsReplayed.Add(given)
	return given, flush(until)
}

// takes reports whether an event is for the subscription's stream.
func (sub *Subscription) takes(e *roxy.Event) bool {
	return sub.matches(e.Topic) && (len(sub.Types) == 0 || slices.Contains(sub.Types, e.Type)) &&
		e.To.Includes(sub.Identity.User, sub.Identity.Roles) && !sub.excepted(e)
}
