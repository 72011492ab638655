package hub

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
)

// PresentUser is a user who is present, with the devices by which.
type PresentUser struct {
	User    string
	Devices []PresentDevice // sorted by name
}

// PresentDevice is a device that is present, or all streams of a user that name none.
type PresentDevice struct {
	Device    string    // "" for streams that name none
	Since     time.Time // present without a break longer than the grace
	Connected bool      // it has a live stream; otherwise it had one within the grace
	Transport string    // of its newest stream while it is connected
}

// Attendance is a page of who is present.
type Attendance struct {
	Users   []PresentUser // sorted by name
	More    bool          // there are further ones
	Settles time.Time     // until then who was there before the hub began may not be back; zero afterwards
}

// Presence returns up to limit users behind the one named after, sorted by name, who are present; with a topic, those of
// them, and of their devices, that have or within the grace had a stream whose patterns match it. Errors: Forbidden for who
// may not read the topic, or roxy/presence.
func (h *Hub) Presence(ctx context.Context, by roxy.Identity, topic roxy.Topic, after string, limit int) (Attendance, error) {
	if err := h.mayRead(by, roxy.Pattern(h.presence.topic), "topic"); err != nil {
		return Attendance{}, err
	}
	if topic != (roxy.Topic{}) {
		if err := h.mayRead(by, roxy.Pattern(topic), "topic"); err != nil {
			return Attendance{}, err
		}
	}
	if err := h.affordPage(ctx, limit); err != nil {
		return Attendance{}, err
	}
	a := h.presence.attendance(by.Tenant, topic, after, limit)
	if settles := h.presence.unsettled(time.Now()); settles != nil {
		a.Settles = *settles
	}
	return a, nil
}

// attendance returns a page of who is present in a tenant.
func (p *presence) attendance(tenant string, topic roxy.Topic, after string, limit int) (page Attendance) {
	// Sorting takes longest and is done without the lock. Who came since is on the next page that has a place for them.
	names := p.names(tenant, after)
	slices.Sort(names)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.tenants[tenant]
	if r == nil {
		return Attendance{}
	}
	for _, name := range names {
		u := r.users[name]
		if u == nil {
			continue
		}
		devices := u.at(topic)
		if len(devices) == 0 {
			continue
		}
		if page.More = len(page.Users) == limit; page.More {
			break
		}
		page.Users = append(page.Users, PresentUser{name, devices})
	}
	return page
}

// names returns those behind one, in no order.
func (p *presence) names(tenant, after string) (names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.tenants[tenant]; r != nil {
		names = make([]string, 0, len(r.users))
		for name := range r.users {
			if name > after {
				names = append(names, name)
			}
		}
	}
	return names
}

// at returns the devices by which u is present where topic is heard; all of them for the zero topic.
func (u *presentUser) at(topic roxy.Topic) (devices []PresentDevice) {
	for _, d := range u.devices {
		found := false
		device := PresentDevice{Device: d.name, Since: d.since}
		for _, v := range d.visits {
			if topic != (roxy.Topic{}) && !hears(v.patterns, topic) {
				continue
			}
			found = true
			if v.departed == nil { // the newest is last
				device.Connected, device.Transport = true, v.transport
			}
		}
		if found {
			devices = append(devices, device)
		}
	}
	slices.SortFunc(devices, func(a, b PresentDevice) int { return strings.Compare(a.Device, b.Device) })
	return devices
}
