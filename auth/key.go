package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
)

// minRSABits is what NIST SP 800-131A asks of RSA signatures.
const minRSABits = 2048

// Key verifies the tokens of one algorithm, and no others: a token that names another algorithm is never held against
// it. Exactly one of Secret, PublicKey and JWKSURL is set.
type Key struct {
	Algorithm string           // HS256 HS384 HS512, RS… PS… ES…, EdDSA
	Secret    []byte           `json:"-"` // HS…: at least as long as the hash: 32, 48 or 64 bytes
	PublicKey crypto.PublicKey // RS… and PS…: *rsa.PublicKey; ES…: *ecdsa.PublicKey on the algorithm's curve; EdDSA: ed25519.PublicKey
	JWKSURL   string           // where the issuer of any but HS… keeps its JSON Web Key Set: https, or http on loopback
}

// String tells the algorithm and what kind of key it is, never the key.
func (k Key) String() string {
	switch {
	case k.JWKSURL != "":
		return k.Algorithm + " " + k.JWKSURL
	case k.PublicKey != nil:
		return k.Algorithm + " public key"
	default:
		return k.Algorithm + " secret"
	}
}

// GoString is String: a secret has no business in a debugging line either.
func (k Key) GoString() string { return k.String() }

// Check returns what is wrong with k and what to do about it.
func (k Key) Check() error {
	given := 0
	for _, is := range []bool{k.Secret != nil, k.PublicKey != nil, k.JWKSURL != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("%s: give exactly one of a secret, a public key and a JWKS URL", k.Algorithm)
	}
	if least := secretBytes(k.Algorithm); least > 0 {
		switch {
		case k.Secret == nil:
			return fmt.Errorf("%s needs a secret that is shared with the issuer, not a public key", k.Algorithm)
		case len(k.Secret) < least:
			return fmt.Errorf("%s needs a secret of at least %d bytes, not %d: make one with `openssl rand -base64 %d`", k.Algorithm, least, len(k.Secret), least)
		}
		return nil
	}
	if k.Secret != nil && known(k.Algorithm) {
		return fmt.Errorf("%s needs a public key or a JWKS URL, not a secret", k.Algorithm)
	}
	if k.JWKSURL != "" {
		if !known(k.Algorithm) {
			return unknownAlgorithm(k.Algorithm)
		}
		if err := checkURL(k.JWKSURL); err != nil {
			return fmt.Errorf("JWKS URL: %w", err)
		}
		return nil
	}
	return fits(k.Algorithm, k.PublicKey)
}

// secretBytes is the length of the hash of an HMAC algorithm, RFC 7518 §3.2; 0 for any other algorithm.
func secretBytes(algorithm string) int {
	switch algorithm {
	case "HS256":
		return 32
	case "HS384":
		return 48
	case "HS512":
		return 64
	}
	return 0
}

// known reports whether algorithm is one of public keys.
func known(algorithm string) bool {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA":
		return true
	}
	return false
}

func unknownAlgorithm(algorithm string) error {
	return fmt.Errorf("algorithm %q: want HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 or EdDSA", algorithm)
}

// fits returns an error unless key is a public key of the algorithm, of sufficient strength.
func fits(algorithm string, key crypto.PublicKey) error {
	switch algorithm {
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		k, ok := key.(*rsa.PublicKey)
		if !ok {
			return fmt.Errorf("%s needs an RSA public key, not %T", algorithm, key)
		}
		if n := k.N.BitLen(); n < minRSABits {
			return fmt.Errorf("%s needs an RSA key of at least %d bits, not %d", algorithm, minRSABits, n)
		}
		return nil
	case "ES256", "ES384", "ES512":
		curve := map[string]string{"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}[algorithm]
		k, ok := key.(*ecdsa.PublicKey)
		if !ok {
			return fmt.Errorf("%s needs a public key on the curve %s, not %T", algorithm, curve, key)
		}
		if k.Curve.Params().Name != curve {
			return fmt.Errorf("%s needs a public key on the curve %s, not %s", algorithm, curve, k.Curve.Params().Name)
		}
		return nil
	case "EdDSA":
		if k, ok := key.(ed25519.PublicKey); !ok || len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("EdDSA needs an Ed25519 public key, not %T", key)
		}
		return nil
	}
	return unknownAlgorithm(algorithm)
}

// checkURL returns an error unless raw may be trusted to bring the issuer's own keys: over TLS, or from this machine.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it is not a URL") // err would repeat a password in it
	}
	if u.User != nil {
		return errors.New("it holds a user name: keys are public, ask for them without")
	}
	if u.Host == "" {
		return fmt.Errorf("%q names no host", raw)
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return nil
	}
	return fmt.Errorf("%q: whoever is on the way could exchange the keys: use https (http only for localhost)", raw)
}
