package roxy

import (
	"slices"
	"time"
)

// Grant is what somebody may do. The zero Grant allows nothing.
type Grant struct {
	Read    []Pattern
	Publish []Pattern
	Write   []Pattern // entities
	Admin   bool      // the operator's calls
}

// Union returns what g or o allows.
func (g Grant) Union(o Grant) Grant {
	return Grant{
		Read:    join(g.Read, o.Read),
		Publish: join(g.Publish, o.Publish),
		Write:   join(g.Write, o.Write),
		Admin:   g.Admin || o.Admin,
	}
}

// MayRead reports whether p lies inside one of g's read patterns. Patterns are not combined: a/* and a/*/** together
// do not allow a/**, so that the answer costs one comparison for each pattern and is easy to foretell.
func (g Grant) MayRead(p Pattern) bool { return containedIn(p, g.Read) }

// MayPublish reports whether t lies inside one of g's publish patterns.
func (g Grant) MayPublish(t Topic) bool { return containedIn(Pattern(t), g.Publish) }

// MayWrite reports whether t lies inside one of g's write patterns.
func (g Grant) MayWrite(t Topic) bool { return containedIn(Pattern(t), g.Write) }

func containedIn(p Pattern, granted []Pattern) bool {
	return slices.ContainsFunc(granted, func(g Pattern) bool { return g.Contains(p) })
}

func join(a, b []Pattern) []Pattern {
	out := slices.Clone(a)
	for _, p := range b {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// Identity is who is asking, as a verified token says. Only package auth makes one from outside bytes.
type Identity struct {
	Tenant   string
	User     string
	Roles    []string // sorted, without repeats
	Token    Grant    // what the token itself grants
	Grant    Grant    // what may be done: the token's and the policy's for each role
	Expires  time.Time
	IssuedAt time.Time // zero when the token does not say
	TokenID  string    // jti; "" when the token has none
}
