package auth

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/roxyhub/roxy"
)

func TestEveryAlgorithmVerifiesItsOwnTokensAndNoOthers(t *testing.T) {
	all := pairs(t)
	for _, own := range all {
		v := open(t, Options{Keys: []Key{own.key}})
		for _, other := range all {
			token := sign(t, other.algorithm, other.private, nil)
			id, err := v.Verify(t.Context(), token)
			if other.algorithm == own.algorithm {
				if err != nil || id.User != "u7" || id.Tenant != "default" {
					t.Errorf("%s: %+v, %v", own.algorithm, id, err)
				}
				continue
			}
			refused(t, err, roxy.Unauthenticated, "", token)
		}
	}
}

func TestAKeyIsHeldAgainstNoOtherAlgorithm(t *testing.T) {
	all := pairs(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ofHS256 := []byte(strings.Repeat("x", 64))
	v := open(t, Options{Keys: []Key{
		{Algorithm: "HS256", Secret: ofHS256},
		all["HS512"].key,
		{Algorithm: "RS256", PublicKey: other.Public()},
		all["PS256"].key,
	}})
	for name, token := range map[string]string{
		"HS512 with the secret of HS256": sign(t, "HS512", ofHS256, nil),
		"HS256 with the secret of HS512": sign(t, "HS256", []byte(secret), nil),
		"PS256 with the key of RS256":    sign(t, "PS256", other, nil),
		"RS256 with the key of PS256":    sign(t, "RS256", all["PS256"].private, nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), token)
			refused(t, err, roxy.Unauthenticated, "", token)
		})
	}
}

// The published ways to have a library verify a forged token.
func TestForgedTokensAreRefused(t *testing.T) {
	all := pairs(t)
	rs, es, hs := all["RS256"], all["ES256"], all["HS256"]
	v := open(t, Options{Keys: []Key{rs.key, es.key, hs.key}})
	public, err := x509.MarshalPKIXPublicKey(rs.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	payload := fmt.Sprintf(`{"sub":"admin","exp":%d,"roxy":{"admin":true}}`, time.Now().Add(time.Hour).Unix())
	good := sign(t, "RS256", rs.private, nil)
	parts := strings.Split(good, ".")
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, minimum())
	token.Header["crit"] = []string{"exp"}
	critical, err := token.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	forged := newECDSA(t, elliptic.P256())
	for name, tt := range map[string]struct{ token, member string }{
		"alg none":                             {part(`{"alg":"none","typ":"JWT"}`) + "." + part(payload) + ".", ""},
		"alg None":                             {part(`{"alg":"None"}`) + "." + part(payload) + ".", ""},
		"alg nOnE with a signature":            {part(`{"alg":"nOnE"}`) + "." + part(payload) + "." + parts[2], ""},
		"no alg":                               {part(`{"typ":"JWT"}`) + "." + part(payload) + ".", ""},
		"alg of the wrong type":                {part(`{"alg":["RS256"]}`) + "." + part(payload) + "." + parts[2], ""},
		"an algorithm not on the list":         {sign(t, "HS512", []byte(secret), nil), ""},
		"HMAC with the public key in PEM":      {sign(t, "HS256", block, nil), ""},
		"HMAC with the public key in DER":      {sign(t, "HS256", public, nil), ""},
		"HMAC with no secret":                  {sign(t, "HS256", []byte{}, nil), ""},
		"no signature":                         {parts[0] + "." + parts[1] + ".", ""},
		"a signature cut short":                {good[:len(good)-4], ""},
		"another payload":                      {parts[0] + "." + part(payload) + "." + parts[2], ""},
		"another header":                       {part(`{"alg":"RS256","x":1}`) + "." + parts[1] + "." + parts[2], ""},
		"PS256 signature, RS256 in the header": {part(`{"alg":"RS256"}`) + "." + parts[1] + "." + strings.Split(sign(t, "PS256", rs.private, nil), ".")[2], ""},
		"an ECDSA signature of zeros":          {part(`{"alg":"ES256"}`) + "." + part(payload) + "." + part(strings.Repeat("\x00", 64)), ""},
		"somebody else's key":                  {sign(t, "ES256", forged, nil), ""},
		"somebody else's key, offered as jwk":  {sign(t, "ES256", forged, nil, "jwk", `{"kty":"EC"}`, "jku", "http://127.0.0.1:1/jwks", "x5u", "http://127.0.0.1:1/"), ""},
		"a path as kid":                        {sign(t, "HS256", []byte{0}, nil, "kid", "../../../../dev/null"), ""},
		"critical header members":              {critical, "crit"},
		"two dots too many":                    {good + "..", ""},
		"another spelling of the last bits":    {respell(good), ""},
		"padding":                              {good + "=", ""},
		"a space":                              {good + " ", ""},
		"nothing":                              {"", ""},
		"too long":                             {strings.Repeat("a", maxTokenBytes+1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), tt.token)
			refused(t, err, roxy.Unauthenticated, tt.member, tt.token)
			if !reflect.ValueOf(id).IsZero() {
				t.Fatalf("and yet %+v", id)
			}
		})
	}
	if _, err := v.Verify(t.Context(), good); err != nil {
		t.Fatal(err)
	}
}

func TestClaimsAreCheckedByName(t *testing.T) {
	now := time.Now()
	opts := Options{Issuer: "https://issuer.example", Audience: "bar", Leeway: 5 * time.Second}
	v := openHS(t, opts)
	base := jwt.MapClaims{"iss": opts.Issuer, "aud": []string{"foo", "bar"}}
	for name, tt := range map[string]struct {
		more   jwt.MapClaims
		code   roxy.Code // "" when all is well
		member string
	}{
		"all right":                 {nil, "", ""},
		"aud as a string":           {jwt.MapClaims{"aud": "bar"}, "", ""},
		"not before 0":              {jwt.MapClaims{"nbf": 0}, "", ""},
		"within the leeway":         {jwt.MapClaims{"exp": now.Add(-2 * time.Second).Unix(), "nbf": now.Add(3 * time.Second).Unix(), "iat": now.Add(3 * time.Second).Unix()}, "", ""},
		"no sub":                    {jwt.MapClaims{"sub": nil}, roxy.Unauthenticated, "sub"},
		"an empty sub":              {jwt.MapClaims{"sub": ""}, roxy.Unauthenticated, "sub"},
		"a number as sub":           {jwt.MapClaims{"sub": 7}, roxy.Unauthenticated, "sub"},
		"a line break in sub":       {jwt.MapClaims{"sub": "a\nb"}, roxy.Unauthenticated, "sub"},
		"no exp":                    {jwt.MapClaims{"exp": nil}, roxy.Unauthenticated, "exp"},
		"exp 0":                     {jwt.MapClaims{"exp": 0}, roxy.Unauthenticated, "exp"},
		"exp as a string":           {jwt.MapClaims{"exp": "tomorrow"}, roxy.Unauthenticated, "exp"},
		"exp beyond all calendars":  {jwt.MapClaims{"exp": 1e300}, roxy.Unauthenticated, "exp"},
		"expired":                   {jwt.MapClaims{"exp": now.Add(-10 * time.Second).Unix()}, roxy.TokenExpired, "exp"},
		"expired long ago":          {jwt.MapClaims{"exp": 1}, roxy.TokenExpired, "exp"},
		"expired and of another":    {jwt.MapClaims{"exp": 1, "iss": "https://other.example"}, roxy.Unauthenticated, "iss"},
		"expired and for another":   {jwt.MapClaims{"exp": 1, "aud": "baz"}, roxy.Unauthenticated, "aud"},
		"not yet":                   {jwt.MapClaims{"nbf": now.Add(time.Minute).Unix()}, roxy.Unauthenticated, "nbf"},
		"nbf as a string":           {jwt.MapClaims{"nbf": "0"}, roxy.Unauthenticated, "nbf"},
		"issued in the future":      {jwt.MapClaims{"iat": now.Add(time.Minute).Unix()}, roxy.Unauthenticated, "iat"},
		"iat below zero":            {jwt.MapClaims{"iat": -1}, roxy.Unauthenticated, "iat"},
		"another issuer":            {jwt.MapClaims{"iss": "https://issuer.example/"}, roxy.Unauthenticated, "iss"},
		"no issuer":                 {jwt.MapClaims{"iss": nil}, roxy.Unauthenticated, "iss"},
		"an issuer that is none":    {jwt.MapClaims{"iss": 7}, roxy.Unauthenticated, "iss"},
		"another audience":          {jwt.MapClaims{"aud": []string{"foo"}}, roxy.Unauthenticated, "aud"},
		"no audience":               {jwt.MapClaims{"aud": nil}, roxy.Unauthenticated, "aud"},
		"an audience that is none":  {jwt.MapClaims{"aud": []any{7}}, roxy.Unauthenticated, "aud"},
		"a number as jti":           {jwt.MapClaims{"jti": 7}, roxy.Unauthenticated, "jti"},
		"the hub's own tenant":      {jwt.MapClaims{"tenant": "$system"}, roxy.Unauthenticated, "tenant"},
		"an empty tenant":           {jwt.MapClaims{"tenant": ""}, roxy.Unauthenticated, "tenant"},
		"a tenant with a slash":     {jwt.MapClaims{"tenant": "a/b"}, roxy.Unauthenticated, "tenant"},
		"two tenants":               {jwt.MapClaims{"tenant": []string{"a", "b"}}, roxy.Unauthenticated, "tenant"},
		"roles as an object":        {jwt.MapClaims{"roles": map[string]any{"admin": true}}, roxy.Unauthenticated, "roles"},
		"roles null":                {jwt.MapClaims{"roles": any(jsonNull{})}, roxy.Unauthenticated, "roles"},
		"a number among the roles":  {jwt.MapClaims{"roles": []any{"a", 7}}, roxy.Unauthenticated, "roles"},
		"an empty role":             {jwt.MapClaims{"roles": []any{""}}, roxy.Unauthenticated, "roles"},
		"300 roles":                 {jwt.MapClaims{"roles": make([]string, 300)}, roxy.Unauthenticated, "roles"},
		"roxy as an array":          {jwt.MapClaims{"roxy": []any{}}, roxy.Unauthenticated, "roxy"},
		"an unknown member of roxy": {jwt.MapClaims{"roxy": map[string]any{"Read": []any{"**"}}}, roxy.Unauthenticated, "roxy"},
		"one pattern, no array":     {jwt.MapClaims{"roxy": map[string]any{"read": "**"}}, roxy.Unauthenticated, "roxy.read"},
		"a bad pattern":             {jwt.MapClaims{"roxy": map[string]any{"publish": []any{"a", "a//b"}}}, roxy.Unauthenticated, "roxy.publish"},
		"a number as pattern":       {jwt.MapClaims{"roxy": map[string]any{"write": []any{7}}}, roxy.Unauthenticated, "roxy.write"},
		"300 patterns":              {jwt.MapClaims{"roxy": map[string]any{"write": make([]string, 300)}}, roxy.Unauthenticated, "roxy.write"},
		"admin as a string":         {jwt.MapClaims{"roxy": map[string]any{"admin": "true"}}, roxy.Unauthenticated, "roxy.admin"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := with(base)
			for claim, value := range tt.more {
				if claims[claim] = value; value == nil {
					delete(claims, claim)
				}
			}
			token := signHS(t, claims)
			id, err := v.Verify(t.Context(), token)
			if tt.code == "" {
				if err != nil || id.User != "u7" {
					t.Fatalf("%+v, %v", id, err)
				}
				return
			}
			refused(t, err, tt.code, tt.member, token)
		})
	}
}

// respell changes bits of the last character that no byte of the signature comes from.
func respell(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])^1])
}

// jsonNull is a claim that is there and null.
type jsonNull struct{}

func (jsonNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

func TestAnIdentityIsAllThatTheTokenSays(t *testing.T) {
	expires, issued := time.Now().Add(time.Hour).Truncate(time.Second).UTC(), time.Now().Truncate(time.Second).UTC()
	v := openHS(t, Options{Policy: Policy{Roles: map[string]roxy.Grant{
		"waiter": {Read: []roxy.Pattern{mustPattern(t, "orders/**")}, Write: []roxy.Pattern{mustPattern(t, "orders/*")}},
		"boss":   {Admin: true},
	}}})
	id, err := v.Verify(t.Context(), signHS(t, jwt.MapClaims{
		"sub": "u7", "exp": expires.Unix(), "iat": issued.Unix(), "jti": "j1", "tenant": "bar",
		"roles": []string{"waiter", "nobody", "waiter"},
		"roxy":  map[string]any{"read": []string{"tables/**", "orders/**"}, "publish": []string{"calls/**"}, "admin": false},
	}))
	if err != nil {
		t.Fatal(err)
	}
	token := roxy.Grant{
		Read:    []roxy.Pattern{mustPattern(t, "tables/**"), mustPattern(t, "orders/**")},
		Publish: []roxy.Pattern{mustPattern(t, "calls/**")},
	}
	grant := token
	grant.Write = []roxy.Pattern{mustPattern(t, "orders/*")}
	want := roxy.Identity{
		Tenant: "bar", User: "u7", Roles: []string{"nobody", "waiter"},
		Token: token, Grant: grant, Expires: expires, IssuedAt: issued, TokenID: "j1",
	}
	if !reflect.DeepEqual(id, want) {
		t.Fatalf("got  %+v\nwant %+v", id, want)
	}
}

func TestClaimPaths(t *testing.T) {
	for name, tt := range map[string]struct {
		path  string
		claim jwt.MapClaims
		roles []string
	}{
		"a name":                   {"groups", jwt.MapClaims{"groups": []string{"b", "a"}}, []string{"a", "b"}},
		"one role as a string":     {"role", jwt.MapClaims{"role": "a b"}, []string{"a b"}},
		"a path":                   {"realm_access.roles", jwt.MapClaims{"realm_access": map[string]any{"roles": []string{"a"}}}, []string{"a"}},
		"a URL":                    {"https://x.example/roles", jwt.MapClaims{"https://x.example/roles": []string{"a"}}, []string{"a"}},
		"a dotted name on the way": {"resource_access.bar.example.roles", jwt.MapClaims{"resource_access": map[string]any{"bar.example": map[string]any{"roles": []string{"a"}}}}, []string{"a"}},
		"the name before the path": {"a.b", jwt.MapClaims{"a.b": "name", "a": map[string]any{"b": "path"}}, []string{"name"}},
		"not there":                {"realm_access.roles", jwt.MapClaims{"realm_access": "x"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := openHS(t, Options{RolesClaim: tt.path})
			id, err := v.Verify(t.Context(), signHS(t, with(tt.claim)))
			if err != nil || !reflect.DeepEqual(id.Roles, tt.roles) {
				t.Fatalf("%q, %v", id.Roles, err)
			}
		})
	}
	v := openHS(t, Options{TenantClaim: "org.slug"})
	id, err := v.Verify(t.Context(), signHS(t, with(jwt.MapClaims{"tenant": "evil", "org": map[string]any{"slug": "bar"}})))
	if err != nil || id.Tenant != "bar" {
		t.Fatalf("%+v, %v", id, err)
	}
}

func FuzzVerify(f *testing.F) {
	v := openHS(f, Options{})
	good := signHS(f, nil)
	for _, s := range []string{good, "", ".", "..", "a.b.c", good + ".", strings.Replace(good, ".", "..", 1), "eyJhbGciOiJub25lIn0.e30."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(t.Context(), token)
		if err == nil {
			// Nobody else has the secret: only the seed is good (base64 passes over line breaks).
			if id.User != "u7" || strings.NewReplacer("\r", "", "\n", "").Replace(token) != good {
				t.Fatalf("forged %q: %+v", token, id)
			}
			return
		}
		if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.Unauthenticated && p.Code != roxy.TokenExpired {
			t.Fatalf("%#v", err)
		}
		if len(token) > 20 && strings.Contains(err.Error(), token) {
			t.Fatalf("the refusal repeats the token: %v", err)
		}
	})
}

// What the issuer signs may still be nonsense.
func FuzzClaims(f *testing.F) {
	v := openHS(f, Options{RolesClaim: "realm_access.roles"})
	for _, s := range []string{
		`{"sub":"u7","exp":4102444800}`,
		`{"sub":"u7","exp":4102444800,"tenant":"bar","realm_access":{"roles":["a","b"]},"roxy":{"read":["**"],"admin":true},"jti":"x","iat":1,"nbf":0}`,
		`{"sub":"u7","exp":1e99}`, `{"sub":"u7","exp":-0.0}`, `[]`, `null`, `{"sub":"\ud800","exp":4102444800}`, `{"roxy":{"read":[null]}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
		signature, err := jwt.SigningMethodHS256.Sign(text, []byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.Verify(t.Context(), text+"."+base64.RawURLEncoding.EncodeToString(signature))
		if err != nil {
			if p, ok := errors.AsType[*roxy.Problem](err); !ok || p.Code != roxy.Unauthenticated && p.Code != roxy.TokenExpired {
				t.Fatalf("%#v", err)
			}
			return
		}
		if roxy.CheckName(id.User) != nil || roxy.CheckTenant(id.Tenant) != nil || !id.Expires.After(time.Now()) || id.Expires.Year() > 9999 {
			t.Fatalf("accepted %+v", id)
		}
		for _, role := range id.Roles {
			if roxy.CheckName(role) != nil {
				t.Fatalf("accepted the role %q", role)
			}
		}
		for _, p := range append(append(id.Token.Read, id.Token.Publish...), id.Token.Write...) {
			if _, err := roxy.ParsePattern(p.String()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	all := pairs(b)
	for _, algorithm := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		p := all[algorithm]
		v := open(b, Options{Keys: []Key{p.key}})
		token := sign(b, algorithm, p.private, with(jwt.MapClaims{"tenant": "bar", "roles": []string{"waiter", "manager"}, "jti": "0b7d8f8a", "iat": time.Now().Unix()}))
		b.Run(algorithm+"/first", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.check(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/again", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
