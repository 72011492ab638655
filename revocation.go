package roxy

import "time"

// Revocation withdraws tokens of one tenant before they expire: the one whose jti is TokenID, or every token of User
// that was issued before Before.
type Revocation struct {
	Tenant  string    `json:"tenant"`
	TokenID string    `json:"jti,omitempty"`
	User    string    `json:"user,omitempty"`
	Before  time.Time `json:"before,omitzero"`
}

// Matches reports whether r withdraws the token behind id. A token that does not say when it was issued counts as
// issued before any time.
func (r Revocation) Matches(id Identity) bool {
	if r.Tenant != id.Tenant {
		return false
	}
	if r.TokenID != "" {
		return r.TokenID == id.TokenID
	}
	return r.User != "" && r.User == id.User && id.IssuedAt.Before(r.Before)
}
