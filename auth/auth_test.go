package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is long enough for HS512.
const secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// pair is what signs and what verifies.
type pair struct {
	algorithm string
	private   any
	key       Key
}

// pairs returns one for each algorithm; those of one family share a key, which is slow to make.
func pairs(tb testing.TB) map[string]pair {
	tb.Helper()
	all := make(map[string]pair)
	for _, algorithm := range []string{"HS256", "HS384", "HS512"} {
		all[algorithm] = pair{algorithm, []byte(secret), Key{Algorithm: algorithm, Secret: []byte(secret)}}
	}
	public := func(algorithm string, private crypto.Signer) {
		all[algorithm] = pair{algorithm, private, Key{Algorithm: algorithm, PublicKey: private.Public()}}
	}
	for _, algorithm := range []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"} {
		public(algorithm, rsaKey())
	}
	for algorithm, curve := range map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()} {
		public(algorithm, newECDSA(tb, curve))
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	public("EdDSA", private)
	return all
}

// rsaKey returns the one RSA key of this run.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { // takes a second to make
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newECDSA(tb testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// open returns a Verifier that ends with the test.
func open(tb testing.TB, opts Options) *Verifier {
	tb.Helper()
	v, err := New(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(v.Close)
	return v
}

// openHS returns a Verifier with the HS256 secret.
func openHS(tb testing.TB, opts Options) *Verifier {
	tb.Helper()
	opts.Keys = []Key{{Algorithm: "HS256", Secret: []byte(secret)}}
	return open(tb, opts)
}

// sign returns a token. A nil claims is a good minimum.
func sign(tb testing.TB, algorithm string, private any, claims jwt.MapClaims, header ...string) string {
	tb.Helper()
	if claims == nil {
		claims = minimum()
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims)
	for line := range slices.Chunk(header, 2) {
		token.Header[line[0]] = line[1]
	}
	text, err := token.SignedString(private)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func signHS(tb testing.TB, claims jwt.MapClaims) string {
	tb.Helper()
	return sign(tb, "HS256", []byte(secret), claims)
}

func minimum() jwt.MapClaims {
	return jwt.MapClaims{"sub": "u7", "exp": time.Now().Add(time.Hour).Unix()}
}

// with returns the minimum and more; a nil value takes a claim away.
func with(more jwt.MapClaims) jwt.MapClaims {
	claims := minimum()
	for claim, value := range more {
		if claims[claim] = value; value == nil {
			delete(claims, claim)
		}
	}
	return claims
}

// refused returns err as the problem that it must be, and fails if that repeats any of secrets.
func refused(tb testing.TB, err error, code roxy.Code, member string, secrets ...string) roxy.Problem {
	tb.Helper()
	p, ok := errors.AsType[*roxy.Problem](err)
	if !ok || p.Code != code || p.Member != member || p.Detail == "" {
		tb.Fatalf("got %#v, want %s of %q", err, code, member)
	}
	for _, s := range secrets {
		if s != "" && strings.Contains(p.Error(), s) {
			tb.Fatalf("the refusal repeats a secret: %v", p)
		}
	}
	return *p
}

func mustPattern(tb testing.TB, s string) roxy.Pattern {
	tb.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}
