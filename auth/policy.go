package auth

import (
	"maps"

	"github.com/roxyhub/roxy"
)

// Policy is what roles may do, beyond what tokens grant themselves. A role that it does not name grants nothing.
type Policy struct {
	Roles map[string]roxy.Grant
}

// grant returns what id may do: what its token grants and what p grants to each of its roles.
func (p *Policy) grant(id roxy.Identity) roxy.Grant {
	grant := id.Token
	for _, role := range id.Roles {
		if more, ok := p.Roles[role]; ok {
			grant = grant.Union(more)
		}
	}
	return grant
}

// SetPolicy makes p the policy of every token and ticket that is used from now on. Live streams are the hub's: give it
// Grant to judge them anew. The caller leaves the grants' patterns alone afterwards.
func (v *Verifier) SetPolicy(p Policy) {
	v.policy.Store(&Policy{Roles: maps.Clone(p.Roles)})
}

// Grant returns what id may do under the policy of this moment.
func (v *Verifier) Grant(id roxy.Identity) roxy.Grant {
	return v.policy.Load().grant(id)
}
