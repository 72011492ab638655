// Package certificate says which certificate a TLS listener shows: that of two files, read again when they change, or one
// that an authority issues by itself (ACME, RFC 8555).
package certificate

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// Files is a certificate in two PEM files.
type Files struct {
	certificate, key string
	log              *slog.Logger
	current          atomic.Pointer[tls.Certificate]
}

// Load reads a certificate, with the chain behind it, and its key; an error names the file at fault, or says that the two
// do not belong together.
func Load(certificate, key string, log *slog.Logger) (*Files, error) {
	f := &Files{certificate: certificate, key: key, log: log}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certificate, key, err)
	}
	f.current.Store(&pair)
	return f, nil
}

// Reload reads the files again. Handshakes from then on get the new certificate, connections keep theirs. A pair that is
// broken, as between the writing of the one file and the other, changes nothing.
func (f *Files) Reload(ctx context.Context) {
	fresh, err := Load(f.certificate, f.key, f.log)
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelError, "the changed certificate is broken; the one before stays in use", slog.Any("error", err))
		return
	}
	pair := fresh.current.Load()
	f.current.Store(pair)
	f.log.LogAttrs(ctx, slog.LevelInfo, "certificate reloaded", slog.Time("expires", pair.Leaf.NotAfter))
}

// Config returns how to serve with the certificate, over HTTP/2 and HTTP/1.1.
func (f *Files) Config() *tls.Config {
	c := serving()
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil }
	return c
}

// serving is what all have in common. Go's own choice of suites and curves is kept up to date with Go.
func serving() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}
