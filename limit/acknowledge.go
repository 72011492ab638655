package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
)

// acknowledgements counts calls, not what they confirm: each is one commit, whatever it holds.
type acknowledgements struct {
	mu      sync.Mutex
	users   buckets[userKey]
	refused atomic.Uint64
}

func (a *acknowledgements) set(now time.Time, user quota) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users.set(now, user)
}

func (a *acknowledgements) stats(s *Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Buckets += len(a.users.byKey)
	s.Forgotten += a.users.forgotten
}

// Acknowledge takes a permit for one call of a user's devices. The zero state means no limit.
func (l *Limits) Acknowledge(tenant, user string) (roxy.LimitState, error) {
	a := &l.acknowledgements
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.users.quota
	if q.unlimited() {
		return roxy.LimitState{}, nil
	}
	now := time.Now()
	limiter := a.users.get(now, userKey{tenant, user})
	if limiter.AllowN(now, 1) {
		return q.state(AcksPerUser, limiter.TokensAt(now)), nil
	}
	a.refused.Add(1)
	tokens := limiter.TokensAt(now)
	state := q.state(AcksPerUser, tokens)
	return state, &roxy.Problem{
		Code:       roxy.RateLimited,
		Detail:     fmt.Sprintf("this user may acknowledge %g times a second, up to %d at once; one call takes many ids", float64(q.rate), q.burst),
		RetryAfter: q.fill(1 - tokens),
		Limit:      &state,
	}
}
