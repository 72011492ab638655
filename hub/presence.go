package hub

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

// Bounds of presence.
const (
	// presenceWindow is how long a change waits for others: a bar whose Wi-Fi returns is one event, not one for each tablet
	// to each tablet.
	presenceWindow = 100 * time.Millisecond
	// maxLeavings is how many sets of patterns one device is remembered with after their streams ended: more than a user
	// may have connections, so that only who changes its patterns all the time is told to be present nowhere in particular.
	maxLeavings = 32
)

// presence knows who is there: whoever has a live stream, or had one within the grace. It is told of connections and
// keeps nothing else, so that it begins empty, and true, after a crash. Its lock is the innermost but that of a fan-out's
// log: who holds it takes no other of the hub's.
//
// Invariants: a device is present while it has visits, and only a device that watchers know to be present, or are about to
// hear of, is kept without; departed holds the visits that are over, in the order of their ends.
type presence struct {
	grace   time.Duration
	topic   roxy.Topic    // whoever may read it may know who is present
	settles time.Time     // until then who was there before the start may not be back yet
	wake    chan struct{} // readable when there is something to wait for

	mu       sync.Mutex
	tenants  map[string]*roster
	departed list.List // of *visit
	dirty    []*roster // with changes that watchers have not heard
	flushAt  time.Time // when they do
	counts   presenceCounts
}

// presenceCounts is what Stats tells.
type presenceCounts struct {
	users, devices int
	joined, left   uint64
}

// roster is the presence of one tenant.
type roster struct {
	name     string
	users    map[string]*presentUser
	watchers map[*watcher]struct{}
	dirty    []*presentDevice // the same as presence.dirty, of this tenant
}

// presentUser is a user with a device that is present, or that watchers believe to be.
type presentUser struct {
	roster  *roster
	name    string
	devices []*presentDevice // one for all streams that name no device
	present int              // of them
	told    int              // of them, to watchers
}

// presentDevice is a device, or a user's streams without one.
type presentDevice struct {
	user   *presentUser
	name   string // "" for streams without
	since  time.Time
	until  time.Time // when its newest visit to end did
	visits []*visit
	told   bool // watchers know it as present; means nothing while there are none
	dirty  bool // it is in roster.dirty
}

// visit is one stream, from when it was admitted until the grace behind its end.
type visit struct {
	device    *presentDevice
	patterns  []roxy.Pattern
	transport string
	departed  *list.Element // nil while the stream lives
	gone      time.Time     // when it ended
}

func newPresence(grace time.Duration) (*presence, error) {
	topic, err := roxy.ParseTopic("roxy/presence")
	if err != nil {
		return nil, err
	}
	return &presence{
		grace: grace, topic: topic, settles: time.Now().Add(grace), wake: make(chan struct{}, 1), tenants: make(map[string]*roster),
	}, nil
}

// run lets graces end and watchers hear of changes until ctx ends.
func (p *presence) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-p.wake:
		case <-ctx.Done():
			return
		}
		if due := p.step(time.Now()); due.IsZero() {
			timer.Stop()
		} else {
			timer.Reset(time.Until(due))
		}
	}
}

// step does what is due, and returns when there is more; the zero time says that nothing is waited for.
func (p *presence) step(now time.Time) (due time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		oldest := p.departed.Front()
		if oldest == nil {
			break
		}
		v := oldest.Value.(*visit) //nolint:forcetypeassert // nothing else is in the list
		if due = v.gone.Add(p.grace); due.After(now) {
			break
		}
		due = time.Time{}
		p.forget(v)
	}
	if len(p.dirty) == 0 {
		return due
	}
	if !p.flushAt.After(now) {
		p.flush(now)
		return due
	}
	if due.IsZero() || p.flushAt.Before(due) {
		due = p.flushAt
	}
	return due
}

// poke has run look at the time again.
func (p *presence) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// arrive notes a stream. It returns nil for one that makes nobody present: of the hub's own tenants, or without patterns.
func (p *presence) arrive(sub *Subscription) *visit {
	tenant := sub.Identity.Tenant
	if engine.SystemTenant(tenant) || len(sub.Patterns) == 0 {
		return nil
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.tenants[tenant]
	if r == nil {
		r = &roster{name: tenant, users: make(map[string]*presentUser)}
		p.tenants[tenant] = r
	}
	d := r.user(sub.Identity.User).device(sub.Device)
	if len(d.visits) == 0 {
		if !d.told || len(r.watchers) == 0 { // else nobody has heard that it had left
			d.since = now.UTC()
		}
		p.came(d, now)
	}
	v := &visit{device: d, patterns: sub.Patterns, transport: sub.Transport}
	d.visits = append(d.visits, v)
	if before := d.like(v); before != nil && before.departed != nil {
		p.forget(before)
	}
	return v
}

// depart notes the end of a stream: whom it made present stays so for the grace.
func (p *presence) depart(v *visit) {
	if v == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	d := v.device
	v.gone = time.Now()
	d.until = v.gone.UTC()
	if other := d.like(v); other != nil {
		if other.departed == nil { // it will leave the same behind
			p.forget(v)
			return
		}
		p.forget(other)
	}
	v.departed = p.departed.PushBack(v)
	if p.departed.Len() == 1 {
		p.poke()
	}
	if oldest, n := d.leavings(); n > maxLeavings {
		p.forget(oldest)
	}
}

// share makes the patterns of a visit one copy with those of its class. They stay equal.
func (p *presence) share(v *visit, patterns []roxy.Pattern) {
	if v == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v.patterns = patterns
}

// forget ends a visit for good.
func (p *presence) forget(v *visit) {
	if v.departed != nil {
		p.departed.Remove(v.departed)
	}
	d := v.device
	d.visits = slices.DeleteFunc(d.visits, func(o *visit) bool { return o == v })
	if len(d.visits) == 0 {
		p.went(d, time.Now())
	}
}

// came counts a device that is present from now on.
func (p *presence) came(d *presentDevice, now time.Time) {
	p.counts.devices++
	p.counts.joined++
	if d.user.present++; d.user.present == 1 {
		p.counts.users++
	}
	p.changed(d, now)
}

// went counts one that is not any more.
func (p *presence) went(d *presentDevice, now time.Time) {
	p.counts.devices--
	p.counts.left++
	if d.user.present--; d.user.present == 0 {
		p.counts.users--
	}
	if len(d.user.roster.watchers) == 0 {
		p.remove(d)
		return
	}
	p.changed(d, now)
}

// remove lets go of a device that is not present.
func (p *presence) remove(d *presentDevice) {
	u := d.user
	u.devices = slices.DeleteFunc(u.devices, func(o *presentDevice) bool { return o == d })
	if len(u.devices) == 0 {
		delete(u.roster.users, u.name)
	}
	p.release(u.roster)
}

// release lets go of a tenant where nobody is.
func (p *presence) release(r *roster) {
	if len(r.users) == 0 && len(r.watchers) == 0 {
		delete(p.tenants, r.name)
	}
}

// user returns the user of that name.
func (r *roster) user(name string) *presentUser {
	u := r.users[name]
	if u == nil {
		u = &presentUser{roster: r, name: name}
		r.users[name] = u
	}
	return u
}

// device returns the device of that name.
func (u *presentUser) device(name string) *presentDevice {
	for _, d := range u.devices {
		if d.name == name {
			return d
		}
	}
	d := &presentDevice{user: u, name: name}
	u.devices = append(u.devices, d)
	return d
}

// like returns another visit of d with the same patterns as v, a live one before one that is over.
func (d *presentDevice) like(v *visit) (found *visit) {
	for _, o := range d.visits {
		if o != v && (found == nil || o.departed == nil) && slices.Equal(o.patterns, v.patterns) {
			found = o
		}
	}
	return found
}

// leavings returns how many visits of d are over, and which of them was the first to end.
func (d *presentDevice) leavings() (oldest *visit, n int) {
	for _, v := range d.visits {
		if v.departed == nil {
			continue
		}
		if n++; oldest == nil || v.gone.Before(oldest.gone) {
			oldest = v
		}
	}
	return oldest, n
}

func (p *presence) stats() presenceCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}
