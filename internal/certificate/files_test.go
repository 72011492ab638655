package certificate

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/roxyhub/roxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair writes a new certificate and its key into a folder of their own.
func pair(t *testing.T) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	testkit.Certify(t, certificate, key)
	return certificate, key
}

// shake makes a handshake with what serves f, as client wants it, and returns the certificate that was shown.
func shake(t *testing.T, f *Files, client *tls.Config) (shown []byte, state tls.ConnectionState, err error) {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = tls.Server(there, f.Config()).HandshakeContext(t.Context())
		_ = there.Close()
	}()
	client.InsecureSkipVerify = true // what is shown is looked at
	c := tls.Client(here, client)
	err = c.HandshakeContext(t.Context())
	if state = c.ConnectionState(); err == nil {
		shown = state.PeerCertificates[0].Raw
	}
	_ = here.Close()
	<-done
	return shown, state, err
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o600) //nolint:gosec // a test's own folder
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Only a whole pair is taken: with the one file new and the other old, what was there before stays.
func TestReloadTakesAWholePairOnly(t *testing.T) {
	certificate, key := pair(t)
	freshCertificate, freshKey := pair(t)
	var log bytes.Buffer
	f, err := Load(certificate, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := shake(t, f, &tls.Config{})
	if err != nil {
		t.Fatal(err)
	}

	copyFile(t, freshCertificate, certificate)
	f.Reload(t.Context())
	if shown, _, err := shake(t, f, &tls.Config{}); err != nil || !bytes.Equal(shown, first) {
		t.Errorf("half a pair was taken: %v", err)
	}
	if line := log.String(); !strings.Contains(line, "level=ERROR") || !strings.Contains(line, "private key does not match") || !strings.Contains(line, key) {
		t.Errorf("logged %q", line)
	}

	copyFile(t, freshKey, key)
	f.Reload(t.Context())
	if shown, _, err := shake(t, f, &tls.Config{}); err != nil || bytes.Equal(shown, first) {
		t.Errorf("the new pair was not taken: %v", err)
	}
}

func TestLoadNamesTheFiles(t *testing.T) {
	certificate, key := pair(t)
	_, other := pair(t)
	for name, files := range map[string][2]string{
		"not there": {filepath.Join(t.TempDir(), "nowhere.pem"), key}, "swapped": {key, certificate}, "another's": {certificate, other},
	} {
		if _, err := Load(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), files[1]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersionsAndProtocols(t *testing.T) {
	certificate, key := pair(t)
	f, err := Load(certificate, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			_, state, err := shake(t, f, &tls.Config{MinVersion: version, MaxVersion: version, NextProtos: []string{protocol}})
			if err != nil || state.NegotiatedProtocol != protocol {
				t.Errorf("%s, %s: %q, %v", tls.VersionName(version), protocol, state.NegotiatedProtocol, err)
			}
		}
	}
	_, _, err = shake(t, f, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // that it is refused
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}
