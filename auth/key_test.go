package auth

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
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
