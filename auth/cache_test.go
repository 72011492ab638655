package auth

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

func TestAVerifiedTokenIsCachedButStillEndsAndIsRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		revoked := false
		v := openHS(t, Options{Revoked: func(roxy.Identity) bool { return revoked }})
		token := signHS(t, jwt.MapClaims{"sub": "u7", "exp": time.Now().Add(10 * time.Second).Unix(), "roles": []string{"waiter"}})
		var last roxy.Identity
		use := func(admin bool) {
			t.Helper()
			id, err := v.Verify(t.Context(), token)
			if err != nil || id.Grant.Admin != admin {
				t.Fatalf("%+v, %v", id, err)
			}
			last = id
			if id, err := v.Still(last); err != nil || id.Grant.Admin != admin {
				t.Fatalf("still %+v, %v", id, err)
			}
		}
		still := func(code roxy.Code, member string) {
			t.Helper()
			_, err := v.Still(last)
			refused(t, err, code, member, token)
		}
		use(false)
		use(false)
		if s := v.Stats(); s.Cached != 1 || s.Accepted != 2 {
			t.Fatalf("%+v", s)
		}
		v.SetPolicy(Policy{Roles: map[string]roxy.Grant{"waiter": {Admin: true}}})
		use(true)
		revoked = true
		_, err := v.Verify(t.Context(), token)
		refused(t, err, roxy.Unauthenticated, "", token)
		still(roxy.Unauthenticated, "")
		revoked = false
		use(true)
		time.Sleep(10 * time.Second)
		_, err = v.Verify(t.Context(), token)
		refused(t, err, roxy.TokenExpired, "exp", token)
		still(roxy.TokenExpired, "exp")
		if s := v.Stats(); s.Refused != 2 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestTheCacheIsBoundedAndShortLived(t *testing.T) {
	now, policy := time.Now(), &Policy{}
	c := newCache()
	hash := func(i int) tokenHash { return sha256.Sum256(fmt.Append(nil, i)) }
	c.put(hash(0), roxy.Identity{User: "u0"}, policy, now)
	for i := 1; i < 5*cacheSize; i++ {
		c.put(hash(i), roxy.Identity{}, policy, now)
		if _, ok := c.get(hash(0), policy, now); !ok {
			t.Fatalf("a token in use was dropped after %d others", i)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*cacheSize {
		t.Fatalf("%d tokens are remembered", n)
	}
	if id, ok := c.get(hash(0), policy, now.Add(cacheLife-1)); !ok || id.User != "u0" {
		t.Fatalf("%+v, %t", id, ok)
	}
	if _, ok := c.get(hash(0), policy, now.Add(cacheLife)); ok {
		t.Fatal("it outlived its time")
	}
	if _, ok := c.get(hash(0), &Policy{}, now); ok {
		t.Fatal("it outlived its policy")
	}
}
