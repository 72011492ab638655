package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certify writes a new certificate for loopback and its key; a running hub notices within a second.
func (h *Hub) Certify(t testing.TB) {
	t.Helper()
	Certify(t, h.Roots, h.KeyFile())
}

// Certify writes a certificate for loopback, which vouches for itself, and its key into the files.
func Certify(t testing.TB, certificateFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject:      pkix.Name{CommonName: "Roxy's tests"}, // OpenSSL takes no certificate of nobody
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certificateFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// KeyFile returns the path of the key of a hub with TLS.
func (h *Hub) KeyFile() string { return filepath.Join(h.dir, "key.pem") }

// Trust returns how a client trusts the hub, as it was last certified.
func (h *Hub) Trust(t testing.TB) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(h.Roots)
	if err != nil {
		t.Fatal(err)
	}
	return Trust(t, text)
}

// Trust returns how a client trusts what a certificate in PEM vouches for.
func Trust(t testing.TB, text []byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatalf("no certificate in %.100s", text)
	}
	return &tls.Config{RootCAs: pool}
}
