package limit

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/roxyhub/roxy"
)

// publishes holds both kinds of bucket under one lock, so that a publish takes from both or from neither. The lock is
// held for some hundred nanoseconds (BenchmarkPublish) of a publish that waits for an fsync.
type publishes struct {
	mu      sync.Mutex
	users   buckets[userKey]
	tenants buckets[string]
	refused struct{ user, tenant atomic.Uint64 }
}

func (p *publishes) set(now time.Time, user, tenant quota) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users.set(now, user)
	p.tenants.set(now, tenant)
}

func (p *publishes) stats(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Buckets += len(p.users.byKey) + len(p.tenants.byKey)
	s.Forgotten += p.users.forgotten + p.tenants.forgotten
}

// Publish takes a permit for each of events from the user's bucket and from the tenant's: all of them, or none and a
// *roxy.Problem. The state is that of the bucket with the fewer permits left; its zero value means no limit.
//
// A batch larger than a bucket needs the bucket full, and leaves it in debt: 1,000 events at 100/s and burst 200 pass
// at once after a quiet time, then nothing for 8 s, until the debt of 800 is paid, and the next 1,000 after 10 s. So
// every batch that the hub accepts can be published sometime, and over time nobody exceeds the rate. Whoever publishes
// steadily never has a full bucket, and must send smaller batches.
func (l *Limits) Publish(tenant, user string, events int) (roxy.LimitState, error) {
	p := &l.publishes
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	var draws [2]draw
	n := 0
	if q := p.users.quota; !q.unlimited() {
		draws[n] = draw{PublishPerUser, "this user", q, p.users.get(now, userKey{tenant, user}), &p.refused.user}
		n++
	}
	if q := p.tenants.quota; !q.unlimited() {
		draws[n] = draw{PublishPerTenant, "this tenant", q, p.tenants.get(now, tenant), &p.refused.tenant}
		n++
	}
	for i := range draws[:n] {
		if err := draws[i].check(now, events); err != nil {
			return *err.Limit, err
		}
	}
	var tightest roxy.LimitState
	for i := range draws[:n] {
		if state := draws[i].take(now, events); i == 0 || state.Remaining < tightest.Remaining {
			tightest = state
		}
	}
	return tightest, nil
}

// draw is one bucket that a publish draws from.
type draw struct {
	name    string
	of      string
	quota   quota
	limiter *rate.Limiter
	refused *atomic.Uint64
}

// check returns why n permits cannot be taken now, or nil.
func (d *draw) check(now time.Time, n int) *roxy.Problem {
	need := float64(min(n, d.quota.burst))
	tokens := d.limiter.TokensAt(now)
	if tokens >= need {
		return nil
	}
	d.refused.Add(1)
	detail := fmt.Sprintf("%s may publish %g events a second, up to %d at once", d.of, float64(d.quota.rate), d.quota.burst)
	if n > d.quota.burst {
		detail += fmt.Sprintf("; %d at once need all %d permits back", n, d.quota.burst)
	}
	state := d.quota.state(d.name, tokens)
	return &roxy.Problem{
		Code:       roxy.RateLimited,
		Detail:     detail,
		RetryAfter: d.quota.fill(need - tokens),
		Limit:      &state,
	}
}

// take takes n permits after check has found them. Beyond the burst they are reservations, which rate.Limiter grants
// in pieces no larger than the burst and keeps as negative tokens.
func (d *draw) take(now time.Time, n int) roxy.LimitState {
	piece := min(n, d.quota.burst)
	ok := d.limiter.AllowN(now, piece) // ReserveN would do, but allocates
	for n -= piece; ok && n > 0; n -= piece {
		piece = min(n, d.quota.burst)
		ok = d.limiter.ReserveN(now, piece).OK()
	}
	if !ok {
		panic("BUG: permits that were there are not")
	}
	return d.quota.state(d.name, d.limiter.TokensAt(now))
}
