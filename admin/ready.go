package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
)

const (
	// canaryTime is how long a canary may take: twenty times the slowest of its fsyncs in docs/performance.md.
	canaryTime = 2 * time.Second
	// canaryLife is how long its outcome is believed, so that many probes cost one fsync a second.
	canaryLife = time.Second
)

// readyz answers GET /readyz: an event went through the engine, its tail and the fan-out to a stream just now.
func (a *api) readyz(w http.ResponseWriter, r *http.Request) error {
	if _, leaving := a.Hub.Leaving(); leaving {
		return &roxy.Problem{Code: roxy.NotReady, Detail: "the hub drains and takes no more streams"}
	}
	if err := a.ready.check(r.Context()); err != nil {
		return err
	}
	return answer(w, struct {
		Status string `json:"status"`
	}{"ready"})
}

// readiness sends canaries, one at a time.
type readiness struct {
	canary func(context.Context) error
	log    *slog.Logger

	mu   sync.Mutex
	last *outcome // nil before the first
}

// outcome is one canary's, for all who asked while it was under way or was believed.
type outcome struct {
	done  chan struct{} // closed when it is known; err and until are set before
	err   error
	until time.Time
}

// check returns nil or a not-ready problem. Whoever asks first sends the canary, to its end even when they go away:
// others wait for it.
func (s *readiness) check(ctx context.Context) error {
	s.mu.Lock()
	last := s.last
	if last.believed(time.Now()) {
		s.mu.Unlock()
		return last.wait(ctx)
	}
	next := &outcome{done: make(chan struct{})}
	s.last = next
	s.mu.Unlock()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), canaryTime)
	defer cancel()
	next.err = notReady(s.canary(ctx))
	next.until = time.Now().Add(canaryLife)
	close(next.done)
	s.tell(ctx, last, next.err)
	return next.err
}

// tell logs that the readiness changed.
func (s *readiness) tell(ctx context.Context, before *outcome, err error) {
	switch was := before != nil && before.err != nil; {
	case err != nil && !was:
		s.log.LogAttrs(ctx, slog.LevelError, "not ready", slog.Any("error", err))
	case err == nil && was:
		s.log.LogAttrs(ctx, slog.LevelInfo, "ready again")
	}
}

// believed reports whether o is under way or fresh.
func (o *outcome) believed(now time.Time) bool {
	if o == nil {
		return false
	}
	select {
	case <-o.done:
		return now.Before(o.until)
	default:
		return true
	}
}

func (o *outcome) wait(ctx context.Context) error {
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done(): // nobody is left to be answered
		return context.Cause(ctx)
	}
}

// notReady tells why a canary did not arrive, without what only the log may hold.
func notReady(err error) error {
	if err == nil {
		return nil
	}
	why := err.Error()
	if p, ok := errors.AsType[*roxy.Problem](err); ok {
		why = p.Detail
	}
	return &roxy.Problem{Code: roxy.NotReady, Detail: "a canary event did not come through: " + why, Err: err}
}
