package roxy

import (
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// Bounds of names and of an audience.
const (
	MaxNameBytes     = 128 // a user, a role, an idempotency key, a correlation, an event type
	MaxTenantBytes   = 64
	MaxAudienceNames = 256 // roles and users together
)

// Audience is whom an event is for: whoever holds one of Roles or is one of Users. An empty one is everyone who may
// read the topic. NewAudience returns it sorted and without repeats.
type Audience struct {
	Roles []string
	Users []string
}

// NewAudience returns the audience of the given roles and users, or an error that names the member at fault.
func NewAudience(roles, users []string) (Audience, error) {
	if n := len(roles) + len(users); n > MaxAudienceNames {
		return Audience{}, fmt.Errorf("%d roles and users, at most %d", n, MaxAudienceNames)
	}
	for member, names := range map[string][]string{"roles": roles, "users": users} {
		for i, name := range names {
			if err := CheckName(name); err != nil {
				return Audience{}, fmt.Errorf("%s[%d]: %w", member, i, err)
			}
		}
	}
	return Audience{Roles: sortedSet(roles), Users: sortedSet(users)}, nil
}

// Everyone reports whether a excludes nobody.
func (a Audience) Everyone() bool { return len(a.Roles) == 0 && len(a.Users) == 0 }

// Includes reports whether a user who holds roles belongs to a.
func (a Audience) Includes(user string, roles []string) bool {
	return a.Everyone() || a.IncludesRole(roles) || slices.Contains(a.Users, user)
}

// IncludesRole reports whether a names one of roles. It is false for an empty audience.
func (a Audience) IncludesRole(roles []string) bool {
	return slices.ContainsFunc(a.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

// CheckName returns an error unless s is 1–128 bytes of UTF-8 without control characters.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("empty")
	case len(s) > MaxNameBytes:
		return fmt.Errorf("%d bytes, at most %d", len(s), MaxNameBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("not UTF-8")
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Errorf("holds the control character %U", r)
		}
	}
	return nil
}

// CheckTenant returns an error unless s is a tenant's name: 1–64 of the characters of a topic segment.
func CheckTenant(s string) error {
	if s == "" || len(s) > MaxTenantBytes {
		return fmt.Errorf("tenant %q: %d bytes, want 1–%d", clip(s), len(s), MaxTenantBytes)
	}
	for _, r := range s {
		if !topicRune(r) {
			return fmt.Errorf("tenant %q: %q is not one of A-Z a-z 0-9 _ . ~ : @ -", clip(s), r)
		}
	}
	return nil
}

func sortedSet(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	out := slices.Clone(names)
	slices.Sort(out)
	return slices.Compact(out)
}
