package hub

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/roxyhub/roxy"
)

const (
	// replayStep is how many events a stream reads of the log, or is given, before it asks for more. What others have just
	// read and it only looks through costs next to nothing.
	replayStep = 512
	// maxReplayWait is how long a stream may have to wait before its first event. Beyond that it is sent away, so that its
	// connection does not wait with it.
	maxReplayWait = 5 * time.Second
	// replayBegin is what a replay counts for at least: a look at the log, and a goroutine.
	replayBegin = 32
)

// LimitReplays bounds how many events a second are read for streams that catch up, and given to them, all together, and
// how many at once, from now on. What is given as it was spelled for others counts by its bytes: see replayBytes.
func (h *Hub) LimitReplays(perSecond float64, burst int) {
	h.replays.SetLimit(rate.Limit(perSecond))
	h.replays.SetBurst(max(burst, replayStep))
}

// admit refuses a stream that has so many events to catch up with while those before it have too many.
func (h *Hub) admit(behind uint64) error {
	if behind == 0 {
		return nil
	}
	r := h.replays.ReserveN(time.Now(), replayBegin)
	wait := r.Delay()
	r.Cancel() // it pays when it reads
	if wait <= h.replayWait {
		return nil
	}
	h.stats.replaysRefused.Add(1)
	return &roxy.Problem{
		Code: roxy.Overloaded, RetryAfter: wait, Detail: "too many streams catch up at the same time: come back behind the same cursor",
	}
}

// affordPage waits until a page of n entities may be read, or refuses it when that takes too long: pages and streams that
// catch up read the same store. A page counts for at most replayStep.
func (h *Hub) affordPage(ctx context.Context, n int) error {
	r := h.replays.ReserveN(time.Now(), min(max(n, replayBegin), replayStep))
	wait := r.Delay()
	if wait > h.replayWait {
		r.Cancel()
		h.stats.replaysRefused.Add(1)
		return &roxy.Problem{Code: roxy.Overloaded, RetryAfter: wait, Detail: "too much is read at the same time: ask again"}
	}
	return h.turn(ctx, wait, nil)
}

// afford waits until n more events, at most replayStep, may be read for the stream or given to it.
func (st *stream) afford(ctx context.Context, n int) error {
	return st.hub.turn(ctx, st.hub.replays.ReserveN(time.Now(), n).Delay(), st.awake.ended)
}

// pay takes whole steps off cost once they may be had.
func (st *stream) pay(ctx context.Context, cost *int) error {
	for ; *cost >= replayStep; *cost -= replayStep {
		if err := st.afford(ctx, replayStep); err != nil {
			return err
		}
	}
	return nil
}

// turn waits for a reader's turn, unless ended closes first.
func (h *Hub) turn(ctx context.Context, wait time.Duration, ended <-chan struct{}) error {
	if wait == 0 {
		return nil
	}
	h.stats.replaysDelayed.Add(1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return errEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
