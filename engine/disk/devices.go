package disk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine"
)

const (
	// deviceLife is how long a device that is not heard of is remembered: its name is its user's, and its cursor tells it
	// what it missed.
	deviceLife  = 30 * 24 * time.Hour
	forgetEvery = time.Hour
	// seenEvery is how old Seen may be when a device that is known registers with nothing new.
	seenEvery = time.Minute
)

// Register keeps what a device subscribes to, as engine.Devices says.
func (e *Engine) Register(ctx context.Context, name string, d roxy.Device, limit int) (engine.Registration, error) {
	d.Roles, d.Patterns, d.Types = slices.Clone(d.Roles), slices.Clone(d.Patterns), slices.Clone(d.Types)
	var out engine.Registration
	err := e.perform(ctx, name, "register a device", mutationOverhead, func(g *group, t *tenant, a *acks) error {
		known := a.devices[d.Name]
		if known == nil {
			if limit > 0 && a.owned[d.User] >= limit {
				return &roxy.Problem{
					Code: roxy.RateLimited, Member: "device",
					Detail: fmt.Sprintf("%q has %d devices already (limits.devicesPerUser): forget one by DELETE /v1/devices/{device}", d.User, limit),
				}
			}
			if t.meta.epoch == "" {
				t.meta.epoch = newEpoch()
			}
			g.touch(t)
			known = &engine.StoredDevice{Device: d}
			if known.Cursor.Epoch == "" {
				known.Cursor = roxy.Cursor{Epoch: t.meta.epoch, Offset: t.meta.head}
			}
			known.Created = g.now.UTC()
			a.devices[d.Name] = known
			a.owned[d.User]++
			out.New = true
			g.note(t, &roxy.AuditRow{Kind: roxy.AuditDevice, User: d.User, Device: d.Name, Reason: "registered"})
		} else if known.User != d.User {
			return foreignDevice(d.Name)
		}
		same := slices.Equal(known.Roles, d.Roles) && slices.Equal(known.Patterns, d.Patterns) && slices.Equal(known.Types, d.Types)
		known.Roles, known.Patterns, known.Types = d.Roles, d.Patterns, d.Types
		fresh := g.now.Sub(known.Seen) < seenEvery
		if !same || !fresh {
			known.Seen = g.now.UTC()
		}
		out.Device = known.Device
		for _, offset := range a.waits[receiver{d.Name, d.User}] {
			if c := a.open[offset]; c.Awaits(c.Target(d.Name)) {
				out.Open = append(out.Open, openAckOf(c))
			}
		}
		if same && fresh {
			return nil
		}
		return g.writeDevice(t, known)
	})
	if err != nil {
		return engine.Registration{}, err // the committer may still be at it
	}
	return out, nil
}

func foreignDevice(name string) error {
	return &roxy.Problem{Code: roxy.Forbidden, Member: "device", Detail: fmt.Sprintf("the device %q belongs to another user: choose another name", name)}
}

// of returns a device of the user's.
func (a *acks) of(name, user string) (*engine.StoredDevice, error) {
	d := a.devices[name]
	switch {
	case d == nil:
		return nil, &roxy.Problem{Code: roxy.NotFound, Member: "device", Detail: fmt.Sprintf("no device %q is known: it is by subscribing with device=%s", name, name)}
	case d.User != user:
		return nil, foreignDevice(name)
	}
	return d, nil
}

func (g *group) writeDevice(t *tenant, d *engine.StoredDevice) error {
	return g.batch.Set(deviceKey(t.name, d.Name), engine.AppendDevice(nil, d), nil)
}

// unread returns where what the device has not acknowledged begins, for one that acknowledges up to an offset: behind its
// cursor, and behind what it could not be given.
func unread(d *engine.StoredDevice, to uint64, epoch string) uint64 {
	var from uint64
	if d.Cursor.Epoch == epoch {
		from = d.Cursor.Offset
	}
	if d.Skipped <= to {
		from = max(from, d.Skipped)
	}
	return from
}

// subscribes reports whether the device is given events like c by now.
func subscribes(d *engine.StoredDevice, c *engine.Critical) bool {
	return d.Subscribes(c.Topic, c.Type)
}

// between returns the critical events behind an offset, up to another.
func (a *acks) between(after, until uint64) []uint64 {
	first, _ := slices.BinarySearch(a.kept, after+1)
	last, _ := slices.BinarySearch(a.kept, until+1)
	if first >= last {
		return nil
	}
	return a.kept[first:last]
}

// Devices lists the tenant's, as engine.Devices says.
func (e *Engine) Devices(ctx context.Context, name string) ([]roxy.Device, error) {
	var list []roxy.Device
	err := e.perform(ctx, name, "devices", 0, func(_ *group, _ *tenant, a *acks) error {
		for _, d := range a.devices {
			list = append(list, d.Device)
		}
		return nil
	})
	if err != nil {
		return nil, err // the committer may still be at it
	}
	slices.SortFunc(list, func(a, b roxy.Device) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Forget removes a device, as engine.Devices says.
func (e *Engine) Forget(ctx context.Context, name, user, deviceName string) error {
	return e.perform(ctx, name, "forget a device", 0, func(g *group, t *tenant, a *acks) error {
		d := a.devices[deviceName]
		if user != "" || d == nil {
			var err error
			if d, err = a.of(deviceName, user); err != nil {
				return err
			}
		}
		return g.forget(t, a, d)
	})
}

// forget removes a device. Events that it was to confirm go on waiting, for its owner may register it again, until they are
// given up: whoever published them is told.
func (g *group) forget(t *tenant, a *acks, d *engine.StoredDevice) error {
	delete(a.devices, d.Name)
	if a.owned[d.User]--; a.owned[d.User] == 0 {
		delete(a.owned, d.User)
	}
	g.note(t, &roxy.AuditRow{Kind: roxy.AuditDevice, User: d.User, Device: d.Name, Reason: "forgotten"})
	return g.batch.Delete(deviceKey(t.name, d.Name), nil)
}

// forgetDevices removes the devices of all tenants that were not heard of for deviceLife.
func (e *Engine) forgetDevices() error {
	names, err := e.tenantsWith(keyDevice)
	for _, name := range names {
		err = errors.Join(err, e.perform(context.Background(), name, "forget devices", 0, func(g *group, t *tenant, a *acks) error {
			for _, d := range a.devices {
				if g.now.Sub(d.Seen) > deviceLife && !engine.SystemDevice(d.Name) {
					if err := g.forget(t, a, d); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
	return err
}
