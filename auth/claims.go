package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

const (
	// grantClaim is the claim in which a token itself grants something.
	grantClaim = "roxy"
	// maxRoles and maxPatterns bound what one token makes every later comparison cost.
	maxRoles    = 256
	maxPatterns = 256
)

// identity reads the claims of a verified token. Its errors name the claim at fault; whether the token's time has come
// or is over is not looked at here.
func (v *Verifier) identity(claims jwt.MapClaims) (roxy.Identity, error) {
	var id roxy.Identity
	var err error
	if id.User, err = name(claims, "sub", true); err != nil {
		return id, err
	}
	if id.TokenID, err = name(claims, "jti", false); err != nil {
		return id, err
	}
	if id.Expires, err = moment(claims, "exp"); err != nil {
		return id, err
	}
	if id.Expires.IsZero() {
		return id, unauthenticated("exp", "the token has no exp: it must end sometime")
	}
	if id.IssuedAt, err = moment(claims, "iat"); err != nil {
		return id, err
	}
	if _, err = moment(claims, "nbf"); err != nil {
		return id, err
	}
	if id.Tenant, err = v.tenant(claims); err != nil {
		return id, err
	}
	if id.Roles, err = v.roles(claims); err != nil {
		return id, err
	}
	id.Token, err = tokenGrant(claims)
	return id, err
}

func name(claims jwt.MapClaims, claim string, required bool) (string, error) {
	value, ok := claims[claim]
	if !ok && !required {
		return "", nil
	}
	if !ok {
		return "", unauthenticated(claim, "the token has no %s", claim)
	}
	s, ok := value.(string)
	if !ok {
		return "", unauthenticated(claim, "%s is not a string", claim)
	}
	if err := roxy.CheckName(s); err != nil {
		return "", unauthenticated(claim, "%s: %v", claim, err)
	}
	return s, nil
}

// moment reads a NumericDate, RFC 7519 §2. No claim and 0, which some issuers write for it, are the zero time. Years
// beyond 9999 are refused: RFC 3339 cannot write them.
func moment(claims jwt.MapClaims, claim string) (time.Time, error) {
	value, ok := claims[claim]
	if !ok || value == 0.0 {
		return time.Time{}, nil
	}
	const end = 253402300800 // 10000-01-01
	seconds, ok := value.(float64)
	if !ok || seconds < 0 || seconds >= end {
		return time.Time{}, unauthenticated(claim, "%s is not a time in seconds since 1970", claim)
	}
	return time.UnixMilli(int64(seconds * 1000)).UTC(), nil
}

func (v *Verifier) tenant(claims jwt.MapClaims) (string, error) {
	claim := v.opts.TenantClaim
	value, ok := lookup(claims, claim)
	if !ok {
		return DefaultTenant, nil
	}
	s, ok := value.(string)
	if !ok {
		return "", unauthenticated(claim, "%s is not a string", claim)
	}
	if err := roxy.CheckTenant(s); err != nil { // keeps out the hub's own, which begin with $
		return "", unauthenticated(claim, "%s: %v", claim, err)
	}
	return s, nil
}

// roles reads an array of names, or one name. A token without the claim has no roles.
func (v *Verifier) roles(claims jwt.MapClaims) ([]string, error) {
	claim := v.opts.RolesClaim
	value, ok := lookup(claims, claim)
	if !ok {
		return nil, nil
	}
	if one, ok := value.(string); ok {
		value = []any{one}
	}
	list, ok := value.([]any)
	if !ok {
		return nil, unauthenticated(claim, "%s is neither a string nor an array of strings", claim)
	}
	if len(list) > maxRoles {
		return nil, unauthenticated(claim, "%s holds %d roles, at most %d", claim, len(list), maxRoles)
	}
	var roles []string
	for i, item := range list {
		role, ok := item.(string)
		if !ok {
			return nil, unauthenticated(claim, "%s[%d] is not a string", claim, i)
		}
		if err := roxy.CheckName(role); err != nil {
			return nil, unauthenticated(claim, "%s[%d]: %v", claim, i, err)
		}
		roles = append(roles, role)
	}
	slices.Sort(roles)
	return slices.Compact(roles), nil
}

// lookup finds path in claims: as the name of a claim, or else as names with dots between, each of which may hold dots
// itself (resource_access.bar.example.roles is three names where the client is called bar.example).
func lookup(claims map[string]any, path string) (any, bool) {
	if value, ok := claims[path]; ok {
		return value, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if value, ok := lookup(inner, path[i+1:]); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// tokenGrant reads what the token itself grants. It is strict: an issuer that wrote something else meant something else.
func tokenGrant(claims jwt.MapClaims) (roxy.Grant, error) {
	var grant roxy.Grant
	value, ok := claims[grantClaim]
	if !ok {
		return grant, nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return grant, unauthenticated(grantClaim, "roxy is not an object")
	}
	for member, value := range members {
		var err error
		switch member {
		case "read":
			grant.Read, err = patterns(value)
		case "publish":
			grant.Publish, err = patterns(value)
		case "write":
			grant.Write, err = patterns(value)
		case "admin":
			if grant.Admin, ok = value.(bool); !ok {
				err = fmt.Errorf(" is not true or false")
			}
		default:
			return grant, unauthenticated(grantClaim, "roxy has the members read, publish, write and admin, not %q", strings.ToValidUTF8(member[:min(len(member), 40)], ""))
		}
		if err != nil {
			return roxy.Grant{}, unauthenticated(grantClaim+"."+member, "roxy.%s%v", member, err)
		}
	}
	return grant, nil
}

// patterns reads an array of patterns. Its error continues the claim's name.
func patterns(value any) ([]roxy.Pattern, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, fmt.Errorf(" is not an array of patterns")
	}
	if len(list) > maxPatterns {
		return nil, fmt.Errorf(" holds %d patterns, at most %d", len(list), maxPatterns)
	}
	var all []roxy.Pattern
	for i, item := range list {
		s, ok := item.(string)
		if !ok {
			return nil, fmt.Errorf("[%d] is not a string", i)
		}
		p, err := roxy.ParsePattern(s)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		all = append(all, p)
	}
	return all, nil
}
