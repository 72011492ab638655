package hub

import (
	"context"
	"time"

	"github.com/roxyhub/roxy"
)

// waiting returns how many events behind st.sent up to until are for the stream, and when the oldest of them came. It stops
// counting beyond limit. What it reads and spells is there for the replay that follows.
func (st *stream) waiting(ctx context.Context, until, limit uint64) (n uint64, oldest time.Time, err error) {
	if until <= st.sent {
		return 0, time.Time{}, nil
	}
	key, after, now, cost := st.transcriptKey(), st.sent, time.Now(), 0
	count := func(e *roxy.Event) {
		if n++; n == 1 {
			oldest = e.Time
		}
	}
	for s, err := range st.stretches(ctx, until, &cost) {
		if err != nil {
			return n, oldest, err
		}
		p, spelled, shared := st.passage(key, after, &s)
		for i := range p.lines {
			if l := &p.lines[i]; l.isFor(st, now) {
				count(l.event)
			}
		}
		for i := 0; !shared && i < len(s.events); i++ {
			if e := &s.events[i]; st.sub.takes(e) && !e.Expired(now) {
				count(e)
			}
		}
		if n > limit {
			break
		}
		after, cost = s.until, cost+spelled
		if st.over() {
			return n, oldest, errEnded
		}
		if err := st.pay(ctx, &cost); err != nil {
			return n, oldest, err
		}
	}
	return n, oldest, nil
}
