package limit

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
)

// addrKey is an address as limits count it: one of IPv4, or the /64 of one of IPv6.
type addrKey netip.Addr

// keyOf returns how ip is counted. Whoever has one IPv6 address has the 2^64 of its /64, so these count as one.
func keyOf(ip netip.Addr) addrKey {
	ip = ip.Unmap()
	if ip.Is6() {
		if net, err := ip.Prefix(64); err == nil { // drops the zone, too
			ip = net.Addr()
		}
	}
	return addrKey(ip)
}

type attempts struct {
	mu      sync.Mutex
	buckets buckets[addrKey]
	refused atomic.Uint64
}

func (a *attempts) set(now time.Time, q quota) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.buckets.set(now, q)
}

func (a *attempts) stats(s *Stats) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s.Buckets += len(a.buckets.byKey)
	s.Forgotten += a.buckets.forgotten
}

// Attempt counts a connection attempt of ip, before anybody knows who it is: checking a bad token costs more than
// refusing it here. An address that is not valid (a Unix socket's peer) is counted as one, together with all others
// of its kind.
func (l *Limits) Attempt(ip netip.Addr) error {
	a := &l.attempts
	a.mu.Lock()
	defer a.mu.Unlock()
	q := a.buckets.quota
	if q.unlimited() {
		return nil
	}
	now := time.Now()
	limiter := a.buckets.get(now, keyOf(ip))
	if limiter.AllowN(now, 1) {
		return nil
	}
	a.refused.Add(1)
	tokens := limiter.TokensAt(now)
	state := q.state(Attempts, tokens)
	return &roxy.Problem{
		Code:       roxy.RateLimited,
		Detail:     fmt.Sprintf("more than %d connection attempts a second from this address", q.burst),
		RetryAfter: q.fill(1 - tokens),
		Limit:      &state,
	}
}
