package auth

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

func TestADevelopmentTokenSaysWhatItWasGiven(t *testing.T) {
	now := time.Now().Truncate(time.Second).UTC()
	for name, paths := range map[string][2]string{"default": {"", ""}, "paths": {"org.slug", "realm_access.roles"}, "a URL": {"https://x.example/tenant", "https://x.example/roles"}} {
		t.Run(name, func(t *testing.T) {
			token, err := SignDevelopment([]byte(secret), Claims{
				User: "u7", Tenant: "bar", Roles: []string{"kitchen", "waiter"},
				Grant:   roxy.Grant{Read: []roxy.Pattern{mustPattern(t, "orders/**")}, Publish: []roxy.Pattern{mustPattern(t, "calls/*")}, Write: []roxy.Pattern{mustPattern(t, "tables/1")}, Admin: true},
				TokenID: "j1", Issuer: "here", Audience: "hub", IssuedAt: now, Expires: now.Add(time.Hour),
				TenantClaim: paths[0], RolesClaim: paths[1],
			})
			if err != nil {
				t.Fatal(err)
			}
			v := openHS(t, Options{Issuer: "here", Audience: "hub", TenantClaim: paths[0], RolesClaim: paths[1]})
			id, err := v.Verify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			grant := roxy.Grant{Read: []roxy.Pattern{mustPattern(t, "orders/**")}, Publish: []roxy.Pattern{mustPattern(t, "calls/*")}, Write: []roxy.Pattern{mustPattern(t, "tables/1")}, Admin: true}
			want := roxy.Identity{
				Tenant: "bar", User: "u7", Roles: []string{"kitchen", "waiter"},
				Token: grant, Grant: grant, Expires: now.Add(time.Hour), IssuedAt: now, TokenID: "j1",
			}
			if !reflect.DeepEqual(id, want) {
				t.Fatalf("got  %+v\nwant %+v", id, want)
			}
		})
	}
}

func TestSignDevelopmentRefusesWhatTheHubWould(t *testing.T) {
	good := Claims{User: "u7", Expires: time.Now().Add(time.Hour)}
	for name, tt := range map[string]struct {
		change func(*Claims)
		want   string
	}{
		"no user":       {func(c *Claims) { c.User = "" }, "user: empty"},
		"a bad tenant":  {func(c *Claims) { c.Tenant = "$system" }, "tenant"},
		"an empty role": {func(c *Claims) { c.Roles = []string{""} }, "role: empty"},
		"a bad id":      {func(c *Claims) { c.TokenID = "\n" }, "token id"},
		"no end":        {func(c *Claims) { c.Expires = time.Time{} }, "expires"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			if _, err := SignDevelopment([]byte(secret), c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
	if _, err := SignDevelopment([]byte("short"), good); err == nil || !strings.Contains(err.Error(), "at least 32 bytes") {
		t.Fatal(err)
	}
}
