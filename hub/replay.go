package hub

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

const (
	// replayWrite is about how many bytes of a replay go in one write.
	replayWrite = 32 << 10
	// replayDirect is how many bytes of a transcript are worth a write of their own, rather than being copied to others.
	replayDirect = 8 << 10
	// replayBytes of text that was spelled for others count as one event that was not: 10 M events of 360 bytes took 2 s of
	// CPU to write, 0.5 µs for each KiB, where spelling and writing one event takes 1.2 µs.
	replayBytes = 2 << 10
)

// catchUp gives the stream what lies between its position and the live log, joins it, and returns how many events it
// gave. While it reads before joining nothing is kept for the stream; once joined, what is appended meanwhile waits in
// its class's log, and that is bounded.
func (st *stream) catchUp(ctx context.Context) (replayed uint64, err error) {
	defer func() { st.hub.stats.replayDepth.Observe(float64(replayed)) }()
	if st.device != nil {
		st.device.anew()
	}
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
	if err := st.afford(ctx, replayBegin); err != nil {
		return 0, err
	}
	r := retelling{st: st, key: st.transcriptKey(), reached: st.sent, hidden: st.views.hiddenFrom(st.sub.Identity.Roles), now: time.Now()}
	defer func() { st.hub.stats.eventsReplayed.Add(r.given) }()
	for s, err := range st.stretches(ctx, until, &r.cost) {
		if err != nil {
			return r.given, err
		}
		if err := r.stretch(&s); err != nil {
			return r.given, err
		}
		if err := st.pay(ctx, &r.cost); err != nil {
			return r.given, err
		}
	}
	return r.given, r.flush()
}

// stretches yields the log behind st.sent up to until.
func (st *stream) stretches(ctx context.Context, until uint64, read *int) iter.Seq2[stretch, error] {
	return st.hub.chunks.stretches(ctx, st.sub.Identity.Tenant, engine.Query{After: st.sent, Until: until, Topics: st.sub.exactTopics()}, read)
}

// retelling is a replay in progress.
type retelling struct {
	st      *stream
	key     transcriptKey
	hidden  ruleSet
	now     time.Time // of the last write
	reached uint64    // what is for the stream up to here was written or is pending
	given   uint64
	cost    int
	looked  int // events since the last flush

	pending  []byte
	events   int // of them
	envelope []byte
}

// stretch gives what a stretch holds for the stream.
func (r *retelling) stretch(s *stretch) (err error) {
	p, spelled, shared := r.st.passage(r.key, r.reached, s)
	r.cost += spelled
	if shared {
		r.st.hub.transcripts.shared.Add(1)
		err = r.recite(&p)
	} else {
		r.st.hub.transcripts.alone.Add(1)
		err = r.spell(s)
	}
	if err != nil {
		return err
	}
	r.reached = s.until
	// A long run of events that are not for the stream still has to hear of its end and to beat.
	if r.looked += len(s.events); r.looked >= replayStep {
		return r.flush()
	}
	return nil
}

// spell gives the events of s, spelled for this stream alone.
func (r *retelling) spell(s *stretch) error {
	st := r.st
	for i := range s.events {
		e := &s.events[i]
		if !st.sub.takes(e) || e.Expired(r.now) {
			continue
		}
		r.envelope = appendEnvelope(r.envelope[:0], e, st.cursor(e.Offset), st.views.view(st.views.on(e.Topic).and(r.hidden)))
		st.expect(e)
		r.pending = st.sub.Encoding.AppendEvent(r.pending, st.cursor(e.Offset), e.Type, r.envelope)
		r.events++
		r.cost++
		r.reached = e.Offset
		if len(r.pending) >= replayWrite {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// recite gives the lines of p, in pieces that end at the same places for all streams of the class.
func (r *retelling) recite(p *passage) error {
	from, events := p.from, 0
	var last uint64
	for i := range p.lines {
		l := &p.lines[i]
		if !l.isFor(r.st, r.now) {
			begins := p.from
			if i > 0 {
				begins = p.lines[i-1].end
			}
			if err := r.give(p, piece{from, begins}, events, last); err != nil {
				return err
			}
			from, events = l.end, 0
			continue
		}
		r.st.expect(l.event)
		events, last = events+1, l.event.Offset
		if l.end/replayWrite != from/replayWrite {
			if err := r.give(p, piece{from, l.end}, events, last); err != nil {
				return err
			}
			from, events = l.end, 0
		}
	}
	if events == 0 {
		return nil
	}
	return r.give(p, piece{from, p.lines[len(p.lines)-1].end}, events, last)
}

// give gives a piece of a passage, which holds that many events up to an offset.
func (r *retelling) give(p *passage, part piece, events int, upTo uint64) error {
	if events == 0 {
		return nil
	}
	text := p.text[part.from:part.end]
	r.cost += 1 + len(text)/replayBytes
	if len(text) < replayDirect {
		r.pending, r.events, r.reached = append(r.pending, text...), r.events+events, upTo
		if len(r.pending) < replayWrite {
			return nil
		}
		return r.flush()
	}
	if r.events > 0 {
		if err := r.flush(); err != nil {
			return err
		}
	}
	if err := r.st.recite(p.of, part, text, events); err != nil {
		return err
	}
	r.given += uint64(events) //nolint:gosec // never negative
	r.reached = upTo
	return r.flush()
}

// recite sends text, a part of a transcript.
func (st *stream) recite(t *transcript, part piece, text []byte, events int) error {
	if st.gzip == nil {
		return st.send(text, events)
	}
	packed, ok := st.hub.transcripts.pack(t, part)
	if !ok {
		return st.write(text, events)
	}
	if st.reader != nil {
		st.reader.Interrupt()
	}
	st.gzip.gaveAlone(packed.sum)
	return st.send(packed.text, events)
}

// flush writes what is pending, and looks whether the stream is to end or to beat.
func (r *retelling) flush() error {
	st := r.st
	if r.events > 0 {
		if err := st.write(r.pending, r.events); err != nil {
			return err
		}
		r.given += uint64(r.events)
		r.pending, r.events = r.pending[:0], 0
	}
	st.advance(r.reached)
	r.looked, r.now = 0, time.Now()
	if st.over() {
		return errEnded
	}
	return st.due()
}

// takes reports whether an event is for the subscription's stream.
func (sub *Subscription) takes(e *roxy.Event) bool {
	return sub.wants(e) && e.To.Includes(sub.Identity.User, sub.Identity.Roles) && !sub.excepted(e)
}

// wants reports whether an event is of the topics and types that the subscription asks for.
func (sub *Subscription) wants(e *roxy.Event) bool {
	return sub.matches(e.Topic) && (len(sub.Types) == 0 || slices.Contains(sub.Types, e.Type))
}
