package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

// Claims are what a development token says.
type Claims struct {
	User     string // required
	Tenant   string // "" for the default one
	Roles    []string
	Grant    roxy.Grant // what the token itself grants
	TokenID  string     // jti
	Issuer   string
	Audience string
	IssuedAt time.Time // left out when zero
	Expires  time.Time // required

	// TenantClaim and RolesClaim are as in Options, where the hub will look. Even a path becomes one claim of that name,
	// which is found first.
	TenantClaim, RolesClaim string
}

// SignDevelopment returns a token, signed with HS256, that a hub with the same secret accepts. It is for development
// and tests: in production whoever knows the users issues tokens.
func SignDevelopment(secret []byte, c Claims) (string, error) {
	if err := (Key{Algorithm: "HS256", Secret: secret}).Check(); err != nil {
		return "", err
	}
	if err := c.check(); err != nil {
		return "", err
	}
	claims := jwt.MapClaims{"sub": c.User, "exp": c.Expires.Unix()}
	if !c.IssuedAt.IsZero() {
		claims["iat"] = c.IssuedAt.Unix()
	}
	for claim, value := range map[string]string{"jti": c.TokenID, "iss": c.Issuer, "aud": c.Audience} {
		if value != "" {
			claims[claim] = value
		}
	}
	if c.Tenant != "" {
		claims[orDefault(c.TenantClaim, DefaultTenantClaim)] = c.Tenant
	}
	if len(c.Roles) > 0 {
		claims[orDefault(c.RolesClaim, DefaultRolesClaim)] = c.Roles
	}
	if grant := grantMembers(c.Grant); len(grant) > 0 {
		claims[grantClaim] = grant
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}

// check refuses what the hub would refuse.
func (c Claims) check() error {
	if err := roxy.CheckName(c.User); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if c.Tenant != "" {
		if err := roxy.CheckTenant(c.Tenant); err != nil {
			return err
		}
	}
	for _, role := range c.Roles {
		if err := roxy.CheckName(role); err != nil {
			return fmt.Errorf("role: %w", err)
		}
	}
	if c.TokenID != "" {
		if err := roxy.CheckName(c.TokenID); err != nil {
			return fmt.Errorf("token id: %w", err)
		}
	}
	if c.Expires.IsZero() {
		return errors.New("a token needs a time at which it expires")
	}
	return nil
}

func grantMembers(g roxy.Grant) map[string]any {
	members := make(map[string]any)
	for member, patterns := range map[string][]roxy.Pattern{"read": g.Read, "publish": g.Publish, "write": g.Write} {
		var texts []string
		for _, p := range patterns {
			texts = append(texts, p.String())
		}
		if texts != nil {
			members[member] = texts
		}
	}
	if g.Admin {
		members["admin"] = true
	}
	return members
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
