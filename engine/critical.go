package engine

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/roxyhub/roxy"
)

// maxAckWait bounds the time between two deliveries of a critical event, unless it asks for more itself.
const maxAckWait = 10 * time.Minute

// maxNamed bounds the devices that a dead letter names.
const maxNamed = 100

// NewCritical returns the acknowledgement of a critical event that has its place in the log: its targets are those of the
// devices that it is for. One that nobody can confirm is settled at once. now is when it was committed: the event's own time
// is later where a clock was set back.
func NewCritical(e *roxy.Event, epoch string, targets []roxy.Device, now time.Time) *Critical {
	c := &Critical{
		Offset: e.Offset, Epoch: epoch, Time: e.Time, Topic: e.Topic, Type: e.Type, By: e.By, Correlation: e.Correlation, Ack: *e.Ack, Attempt: 1,
	}
	if e.TTL > 0 {
		c.Expires = e.Time.Add(e.TTL)
	}
	c.Due = FirstDue(e, now)
	for i := range targets {
		c.Targets = append(c.Targets, roxy.DeviceReceipt{Device: targets[i].Name, User: targets[i].User})
	}
	slices.SortFunc(c.Targets, func(a, b roxy.DeviceReceipt) int { return strings.Compare(a.Device, b.Device) })
	if c.Ack.By == roxy.AckUser {
		c.Users = slices.Clone(e.To.Users)
		for i := range c.Targets {
			c.Users = append(c.Users, c.Targets[i].User)
		}
		slices.Sort(c.Users)
		c.Users = slices.Compact(c.Users)
	}
	if len(c.Targets) == 0 {
		c.giveUp(roxy.UnackedNoAudience, now)
	}
	return c
}

// FirstDue returns when the first delivery of a critical event that was committed now is over.
func FirstDue(e *roxy.Event, now time.Time) time.Time {
	due := now.Add(e.Ack.Within)
	if e.TTL > 0 && e.Time.Add(e.TTL).Before(due) {
		due = e.Time.Add(e.TTL)
	}
	return due
}

// Target returns the receipt of a device, nil when the event is not for it.
func (c *Critical) Target(device string) *roxy.DeviceReceipt {
	i, ok := slices.BinarySearchFunc(c.Targets, device, func(t roxy.DeviceReceipt, name string) int { return strings.Compare(t.Device, name) })
	if !ok {
		return nil
	}
	return &c.Targets[i]
}

// Confirm notes that a target confirms, and settles the event when nobody else has to.
func (c *Critical) Confirm(t *roxy.DeviceReceipt, now time.Time) roxy.AckStatus {
	if !t.Confirmed.IsZero() {
		return roxy.AckRepeated
	}
	t.Confirmed = now
	if t.Delivered.IsZero() {
		t.Delivered = now
	}
	if c.Settlement != "" {
		t.Late = true
		return roxy.AckLate
	}
	if c.complete() {
		c.Settlement, c.Settled = roxy.Acknowledged, now
	}
	return roxy.AckConfirmed
}

// complete reports whether all that have to confirm have.
func (c *Critical) complete() bool {
	confirmed := func(t roxy.DeviceReceipt) bool { return !t.Confirmed.IsZero() && !t.Late }
	switch c.Ack.By {
	case roxy.AckAny:
		return slices.ContainsFunc(c.Targets, confirmed)
	case roxy.AckUser:
		return !slices.ContainsFunc(c.Users, func(user string) bool {
			return !slices.ContainsFunc(c.Targets, func(t roxy.DeviceReceipt) bool { return t.User == user && confirmed(t) })
		})
	case roxy.AckDevice:
		return !slices.ContainsFunc(c.Targets, func(t roxy.DeviceReceipt) bool { return !confirmed(t) })
	}
	return false
}

// Next goes to the next delivery, or gives the event up when there is none.
func (c *Critical) Next(now time.Time) {
	switch {
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		c.giveUp(roxy.UnackedTTL, now)
	case c.Attempt >= c.Ack.Attempts:
		c.giveUp(roxy.UnackedAttempts, now)
	default:
		wait := c.Ack.Within << min(c.Attempt, 20) // the first one had Within
		wait = min(wait, max(maxAckWait, c.Ack.Within))
		wait += rand.N(wait / 5) //nolint:gosec // spreads load, guards nothing
		c.Attempt++
		c.Due = c.sooner(now.Add(wait))
	}
}

// Forgotten gives up an event that retention deletes.
func (c *Critical) Forgotten(now time.Time) { c.giveUp(roxy.UnackedRetention, now) }

func (c *Critical) giveUp(why roxy.UnackedReason, now time.Time) {
	c.Settlement, c.Reason, c.Settled = roxy.Unacked, why, now.UTC()
}

// sooner returns due, or when the event expires before that.
func (c *Critical) sooner(due time.Time) time.Time {
	if !c.Expires.IsZero() && c.Expires.Before(due) {
		return c.Expires
	}
	return due
}

// DeadLetter is the data of a roxy:unacked event (docs/protocol.md §7). What not everybody may see of the event is not in it.
type DeadLetter struct {
	Event       string             `json:"event"` // its cursor
	Topic       string             `json:"topic"`
	Type        string             `json:"type"`
	By          string             `json:"by,omitempty"`
	Time        time.Time          `json:"time"`
	Ack         DeadAck            `json:"ack"`
	Reason      roxy.UnackedReason `json:"reason"`
	Attempt     int                `json:"attempt"`
	Targets     int                `json:"targets"`
	Confirmed   []DeadTarget       `json:"confirmed"`
	Unconfirmed []DeadTarget       `json:"unconfirmed"` // the first hundred of either
}

// DeadAck is what a dead letter's event asked for.
type DeadAck struct {
	By       roxy.AckBy `json:"by"`
	Within   string     `json:"within"`
	Attempts int        `json:"attempts"`
}

// DeadTarget is who a dead letter's event was for.
type DeadTarget struct {
	Device string `json:"device,omitempty"` // none for a user without one
	User   string `json:"user"`
}

// ReadDeadLetter returns what an event of roxy.UnackedType tells.
func ReadDeadLetter(e *roxy.Event) (DeadLetter, error) {
	var letter DeadLetter
	if err := json.Unmarshal(e.Data, &letter); err != nil {
		return DeadLetter{}, fmt.Errorf("dead letter %d: %w", e.Offset, err)
	}
	return letter, nil
}

// DeadLetter returns the event that tells that nobody confirmed c.
func (c *Critical) DeadLetter() roxy.Event {
	letter := DeadLetter{
		Event: c.Cursor().String(), Topic: c.Topic.String(), Type: c.Type, By: c.By, Time: c.Time,
		Ack:    DeadAck{c.Ack.By, c.Ack.Within.String(), c.Ack.Attempts},
		Reason: c.Reason, Attempt: c.Attempt, Targets: len(c.Targets), Confirmed: []DeadTarget{}, Unconfirmed: []DeadTarget{},
	}
	name := func(list *[]DeadTarget, device, user string) {
		if len(*list) < maxNamed {
			*list = append(*list, DeadTarget{device, user})
		}
	}
	owners := make(map[string]bool)
	for i := range c.Targets {
		t := &c.Targets[i]
		owners[t.User] = true
		if t.Confirmed.IsZero() {
			name(&letter.Unconfirmed, t.Device, t.User)
		} else {
			name(&letter.Confirmed, t.Device, t.User)
		}
	}
	for _, user := range c.Users {
		if !owners[user] {
			name(&letter.Unconfirmed, "", user)
		}
	}
	data, err := json.Marshal(letter)
	if err != nil {
		panic("BUG: a dead letter does not marshal: " + err.Error())
	}
	topic, err := roxy.ParseTopic(roxy.DeadLetters)
	if err != nil {
		panic("BUG: the topic of dead letters: " + err.Error())
	}
	return roxy.Event{Topic: topic, Type: roxy.UnackedType, Data: data, Correlation: c.Correlation}
}
