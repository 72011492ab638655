package roxy

import (
	"slices"
	"time"
)

// Device is a durable subscriber, such as one tablet: what it subscribed to when it was last connected, and up to where it
// has everything.
type Device struct {
	Name     string // unique within the tenant (CheckDevice)
	User     string // who owns it
	Roles    []string
	Patterns []Pattern
	Types    []string // only these; empty is every type
	Cursor   Cursor   // what it acknowledged: everything up to it was handled
	Created  time.Time
	Seen     time.Time // when it was last heard of
}

// Addressed reports whether e is for the device: by topic, type and audience, and not excepted.
func (d *Device) Addressed(e *Event) bool {
	return e.Except != d.Name && d.Subscribes(e.Topic, e.Type) && e.To.Includes(d.User, d.Roles)
}

// Subscribes reports whether the device subscribes to events of a type on a topic.
func (d *Device) Subscribes(t Topic, eventType string) bool {
	return (len(d.Types) == 0 || slices.Contains(d.Types, eventType)) && slices.ContainsFunc(d.Patterns, func(p Pattern) bool { return p.Matches(t) })
}
