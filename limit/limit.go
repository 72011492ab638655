// Package limit says how much somebody may: connection attempts and connections by address, connections by user and by
// tenant, publishes by user and by tenant, acknowledgements by user, and what this process can hold of all together. It counts on this node only and
// in memory; who asks is auth's business.
package limit

import (
	"log/slog"
	"time"

	"golang.org/x/time/rate"
)

// Names of the limits, as metrics, RateLimit headers and problems tell them.
const (
	Attempts             = "attempts"
	ConnectionsPerIP     = "connections-per-ip"
	ConnectionsPerUser   = "connections-per-user"
	ConnectionsPerTenant = "connections-per-tenant"
	PublishPerUser       = "publish"
	PublishPerTenant     = "publish-per-tenant"
	AcksPerUser          = "acks"
	Descriptors          = "descriptors"
	Memory               = "memory"
)

// Defaults, docs/protocol.md §8.
const (
	DefaultConnectionsPerIP     = 100    // a bar's tablets behind one router, with room
	DefaultConnectionsPerUser   = 20     // one person's tabs and devices
	DefaultConnectionsPerTenant = 10_000 // a tenth of what one node is to carry
	DefaultAttemptsPerIP        = 50     // per second; everybody behind one router comes back within two seconds
	DefaultPublishRate          = 100    // events per second, far above what a person causes
	DefaultPublishBurst         = 200
	DefaultPublishTenantRate    = 10_000
	DefaultPublishTenantBurst   = 20_000
	DefaultAckRate              = 100 // calls per second: a tablet acknowledges once a second, and whatever is confirmed on it
	DefaultAckBurst             = 200
)

// Options are the limits. In each field zero means the default and a negative number no limit.
type Options struct {
	ConnectionsPerIP     int // an IPv6 address counts as its /64: that is what one customer is given
	ConnectionsPerUser   int
	ConnectionsPerTenant int

	AttemptsPerIP int // connection attempts per second, those refused for any reason included; also the burst

	PublishRate        float64 // events per second of one user of one tenant
	PublishBurst       int
	PublishTenantRate  float64 // events per second of all users of one tenant
	PublishTenantBurst int

	AckRate  float64 // calls per second that acknowledge, of one user of one tenant
	AckBurst int

	Logger *slog.Logger // is told when the process can hold no more; nil discards. Set does not change it
}

// withDefaults returns o with every zero replaced.
func (o Options) withDefaults() Options {
	for _, f := range []struct {
		field    *int
		standard int
	}{
		{&o.ConnectionsPerIP, DefaultConnectionsPerIP},
		{&o.ConnectionsPerUser, DefaultConnectionsPerUser},
		{&o.ConnectionsPerTenant, DefaultConnectionsPerTenant},
		{&o.AttemptsPerIP, DefaultAttemptsPerIP},
		{&o.PublishBurst, DefaultPublishBurst},
		{&o.PublishTenantBurst, DefaultPublishTenantBurst},
		{&o.AckBurst, DefaultAckBurst},
	} {
		if *f.field == 0 {
			*f.field = f.standard
		}
	}
	if o.PublishRate == 0 {
		o.PublishRate = DefaultPublishRate
	}
	if o.PublishTenantRate == 0 {
		o.PublishTenantRate = DefaultPublishTenantRate
	}
	if o.AckRate == 0 {
		o.AckRate = DefaultAckRate
	}
	return o
}

// Limits counts and refuses. Its methods are safe for concurrent use. Refusals are *roxy.Problem.
type Limits struct {
	attempts         attempts
	connections      connections
	publishes        publishes
	acknowledgements acknowledgements
	capacity         capacity
}

// New returns Limits that hold to opts.
func New(opts Options) *Limits {
	l := &Limits{
		attempts:    attempts{buckets: newBuckets[addrKey](maxBuckets)},
		connections: newConnections(),
		publishes: publishes{
			users:   newBuckets[userKey](maxBuckets),
			tenants: newBuckets[string](maxBuckets),
		},
		acknowledgements: acknowledgements{users: newBuckets[userKey](maxBuckets)},
	}
	l.capacity.init(opts.Logger)
	l.Set(opts)
	return l
}

// Set makes opts the limits from now on. What is connected stays connected, what was spent stays spent: a bucket keeps
// its fill, cut to a smaller burst.
func (l *Limits) Set(opts Options) {
	opts = opts.withDefaults()
	now := time.Now()
	l.attempts.set(now, quota{rate.Limit(opts.AttemptsPerIP), opts.AttemptsPerIP})
	l.connections.set(opts)
	l.publishes.set(now, quota{rate.Limit(opts.PublishRate), opts.PublishBurst}, quota{rate.Limit(opts.PublishTenantRate), opts.PublishTenantBurst})
	l.acknowledgements.set(now, quota{rate.Limit(opts.AckRate), opts.AckBurst})
}

// Stats is what the limits count.
type Stats struct {
	Connections int    // live now
	IPs         int    // addresses with a live connection
	Users       int    // users with one
	Tenants     int    // tenants with one
	Buckets     int    // addresses, users and tenants whose rate is remembered
	Forgotten   uint64 // buckets that were given up before they were full again, because too many were remembered

	MemoryUsed  uint64 // bytes, as Memory judges it
	MemoryBound uint64 // bytes beyond which it refuses; 0 for no bound

	Refused map[string]uint64 // since the start, by the limit's name
}

// Stats returns a copy of the counts.
func (l *Limits) Stats() Stats {
	var s Stats
	l.connections.stats(&s)
	l.attempts.stats(&s)
	l.publishes.stats(&s)
	l.acknowledgements.stats(&s)
	l.capacity.stats(&s)
	s.Refused = map[string]uint64{
		Attempts:             l.attempts.refused.Load(),
		ConnectionsPerIP:     l.connections.refused.ip.Load(),
		ConnectionsPerUser:   l.connections.refused.user.Load(),
		ConnectionsPerTenant: l.connections.refused.tenant.Load(),
		PublishPerUser:       l.publishes.refused.user.Load(),
		PublishPerTenant:     l.publishes.refused.tenant.Load(),
		AcksPerUser:          l.acknowledgements.refused.Load(),
		Descriptors:          l.capacity.refused.descriptors.Load(),
		Memory:               l.capacity.refused.memory.Load(),
	}
	return s
}

// userKey is one user of one tenant: equal names in two tenants are two users.
type userKey struct{ tenant, user string }
