package limit

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/roxyhub/roxy"
)

// connectionRetry is when to try again after a refusal for the number of connections. Nobody knows when one will
// end; a dead one is noticed within a heartbeat, 15 s by default.
const connectionRetry = 15 * time.Second

// connections counts those that are live. Its maps hold no zeros: they are as large as what is connected.
type connections struct {
	mu      sync.Mutex
	opts    Options
	ips     map[addrKey]int
	users   map[userKey]int
	tenants map[string]int
	total   int
	refused struct{ ip, user, tenant atomic.Uint64 }
}

func newConnections() connections {
	return connections{ips: make(map[addrKey]int), users: make(map[userKey]int), tenants: make(map[string]int)}
}

func (c *connections) set(opts Options) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opts = opts
}

func (c *connections) stats(s *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Connections, s.IPs, s.Users, s.Tenants = c.total, len(c.ips), len(c.users), len(c.tenants)
}

// Connect counts one more connection from ip of user in tenant, in all three counts or, when one is reached, in none.
// The caller calls release when the connection has ended; calling it again does nothing.
func (l *Limits) Connect(ip netip.Addr, tenant, user string) (release func(), err error) {
	c := &l.connections
	addr, who := keyOf(ip), userKey{tenant, user}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, check := range []struct {
		live, limit int
		refused     *atomic.Uint64
		of          string
	}{
		{c.ips[addr], c.opts.ConnectionsPerIP, &c.refused.ip, "this address"},
		{c.users[who], c.opts.ConnectionsPerUser, &c.refused.user, "this user"},
		{c.tenants[tenant], c.opts.ConnectionsPerTenant, &c.refused.tenant, "this tenant"},
	} {
		if check.limit >= 0 && check.live >= check.limit {
			check.refused.Add(1)
			return nil, &roxy.Problem{
				Code:       roxy.RateLimited,
				Detail:     fmt.Sprintf("%s has %d connections, at most %d", check.of, check.live, check.limit),
				RetryAfter: connectionRetry,
			}
		}
	}
	c.ips[addr]++
	c.users[who]++
	c.tenants[tenant]++
	c.total++
	return sync.OnceFunc(func() { c.release(addr, who) }), nil
}

func (c *connections) release(addr addrKey, who userKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	less(c.ips, addr)
	less(c.users, who)
	less(c.tenants, who.tenant)
}

func less[K comparable](counts map[K]int, key K) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
