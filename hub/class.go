package hub

import (
	"slices"
	"strings"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/fanout"
)

// class is all that decides the bytes a stream gets: patterns, types, roles and encoding, within one tenant. Its
// streams share one log. It belongs to its tenant's shard.
type class struct {
	key      string
	patterns []roxy.Pattern
	types    []string // empty: every type
	roles    []string
	encoding Encoding
	log      *fanout.Log

	matched uint64 // the tenant's count of dispatched events when this class last matched one: each event once
	dirty   bool   // something was appended and its streams were not woken yet
}

// wants reports whether a stream of the class would take an event of this type.
func (c *class) wants(eventType string) bool {
	return len(c.types) == 0 || slices.Contains(c.types, eventType)
}

// takes reports whether every stream of the class gets an event for this audience.
func (c *class) takes(to roxy.Audience) bool { return to.Everyone() || to.IncludesRole(c.roles) }

// classKey spells what decides the bytes. Its parts cannot hold the separators.
func classKey(sub *Subscription) string {
	var b strings.Builder
	b.WriteString(sub.Encoding.Name())
	for _, p := range sub.Patterns {
		b.WriteString("\x00p" + p.String())
	}
	for _, t := range sub.Types {
		b.WriteString("\x00t" + t)
	}
	for _, r := range sub.Identity.Roles {
		b.WriteString("\x00r" + r)
	}
	return b.String()
}
