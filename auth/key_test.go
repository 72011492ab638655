package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"
)

func TestParsePublicKey(t *testing.T) {
	es, rs := newECDSA(t, elliptic.P256()), rsaKey()
	must := func(der []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, NotAfter: time.Now().Add(-time.Hour)}
	for name, tt := range map[string]struct {
		text []byte
		key  crypto.PublicKey // nil when refused
		want string
	}{
		"PKIX":               {block("PUBLIC KEY", must(x509.MarshalPKIXPublicKey(es.Public()))), es.Public(), ""},
		"PKCS #1":            {block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rs.PublicKey)), rs.Public(), ""},
		"a certificate":      {block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, es.Public(), es))), es.Public(), ""},
		"words before it":    {append([]byte("my key\n"), block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rs.PublicKey))...), rs.Public(), ""},
		"a private key":      {block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(es))), nil, "openssl pkey"},
		"an EC private key":  {block("EC PRIVATE KEY", must(x509.MarshalECPrivateKey(es))), nil, "openssl pkey"},
		"a request":          {block("CERTIFICATE REQUEST", nil), nil, `PEM block "CERTIFICATE REQUEST"`},
		"broken PKIX":        {block("PUBLIC KEY", []byte{1}), nil, "PEM block PUBLIC KEY"},
		"broken PKCS #1":     {block("RSA PUBLIC KEY", []byte{1}), nil, "PEM block RSA PUBLIC KEY"},
		"broken certificate": {block("CERTIFICATE", []byte{1}), nil, "PEM block CERTIFICATE"},
		"no PEM":             {[]byte("ssh-ed25519 AAAA"), nil, "no PEM block"},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := ParsePublicKey(tt.text)
			if tt.key == nil {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("%v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || !tt.key.(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
				t.Fatalf("%T, %v", key, err)
			}
		})
	}
}

func TestNewNamesTheOptionAtFault(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	all := pairs(t)
	key := func(k Key) Options { return Options{Keys: []Key{all["HS256"].key, k}} }
	for name, tt := range map[string]struct {
		opts Options
		want string
	}{
		"no keys":                 {Options{}, "no keys"},
		"a bad cookie name":       {Options{Keys: []Key{all["HS256"].key}, Cookie: "a b"}, `cookie "a b"`},
		"a leeway back in time":   {Options{Keys: []Key{all["HS256"].key}, Leeway: -1}, "leeway"},
		"none":                    {key(Key{Algorithm: "none", Secret: []byte(secret)}), `keys[1]: algorithm "none": want HS256`},
		"none with a URL":         {key(Key{Algorithm: "none", JWKSURL: "https://a.example"}), `algorithm "none"`},
		"lower case":              {key(Key{Algorithm: "hs256", Secret: []byte(secret)}), `algorithm "hs256"`},
		"a short secret":          {key(Key{Algorithm: "HS256", Secret: []byte("hunter2")}), "HS256 needs a secret of at least 32 bytes, not 7: make one with `openssl rand -base64 32`"},
		"HS384 with 32 bytes":     {key(Key{Algorithm: "HS384", Secret: make([]byte, 32)}), "at least 48 bytes"},
		"HS512 with 48 bytes":     {key(Key{Algorithm: "HS512", Secret: make([]byte, 48)}), "at least 64 bytes"},
		"two kinds":               {key(Key{Algorithm: "HS256", Secret: []byte(secret), JWKSURL: "https://a.example"}), "exactly one"},
		"no kind":                 {key(Key{Algorithm: "RS256"}), "exactly one"},
		"HS256 with a public key": {key(Key{Algorithm: "HS256", PublicKey: all["RS256"].key.PublicKey}), "HS256 needs a secret"},
		"HS256 with a URL":        {key(Key{Algorithm: "HS256", JWKSURL: "https://a.example"}), "HS256 needs a secret"},
		"RS256 with a secret":     {key(Key{Algorithm: "RS256", Secret: []byte(secret)}), "RS256 needs a public key or a JWKS URL"},
		"RS256 with ECDSA":        {key(Key{Algorithm: "RS256", PublicKey: all["ES256"].key.PublicKey}), "RS256 needs an RSA public key"},
		"ES256 with P-384":        {key(Key{Algorithm: "ES256", PublicKey: all["ES384"].key.PublicKey}), "curve P-256, not P-384"},
		"ES256 with RSA":          {key(Key{Algorithm: "ES256", PublicKey: all["RS256"].key.PublicKey}), "curve P-256"},
		"EdDSA with RSA":          {key(Key{Algorithm: "EdDSA", PublicKey: all["RS256"].key.PublicKey}), "Ed25519"},
		"EdDSA, a private key":    {key(Key{Algorithm: "EdDSA", PublicKey: private}), "Ed25519"},
		"plain http":              {key(Key{Algorithm: "RS256", JWKSURL: "http://issuer.example/jwks"}), "use https"},
		"a host like loopback":    {key(Key{Algorithm: "RS256", JWKSURL: "http://127.0.0.1.evil.example/jwks"}), "use https"},
		"a file":                  {key(Key{Algorithm: "RS256", JWKSURL: "file:///etc/passwd"}), "no host"},
		"a password in the URL":   {key(Key{Algorithm: "RS256", JWKSURL: "https://me:" + "hunter2@issuer.example/jwks"}), "user name"},
		"no URL":                  {key(Key{Algorithm: "RS256", JWKSURL: "https://a b:hunter2"}), "not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := New(t.Context(), tt.opts)
			if err == nil {
				v.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	opts := Options{Keys: []Key{{Algorithm: "HS256", Secret: []byte(secret)}}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, opts.Keys); strings.Contains(s, secret[:8]) || strings.Contains(s, "48, 49") {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	v := open(t, opts)
	if s := fmt.Sprintf("%+v", v.opts); strings.Contains(s, secret[:8]) {
		t.Error(s)
	}
}

func TestAWeakRSAKeyIsRefused(t *testing.T) {
	weak := &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}
	if err := (Key{Algorithm: "PS256", PublicKey: weak}).Check(); err == nil || !strings.Contains(err.Error(), "at least 2048 bits, not 1024") {
		t.Fatal(err)
	}
}

func FuzzParsePublicKey(f *testing.F) {
	der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := ParsePublicKey(text); (key == nil) == (err == nil) {
			t.Fatalf("%v, %v", key, err)
		}
	})
}
