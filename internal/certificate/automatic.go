package certificate

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"slices"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"         //nolint:depguard // certmagic logs with it; see bridge
	"go.uber.org/zap/zapcore" //nolint:depguard // as above
)

// Options of Automatic. Domains and Folder are required.
type Options struct {
	Domains   []string
	Email     string // where the authority writes to; "" for nowhere
	Directory string // the authority's, a URL; "" is Let's Encrypt
	Folder    string // for keys and certificates
	Port      int    // where we listen: the authority has to reach it as port 443
	Logger    *slog.Logger
}

// Automatic is a certificate that an authority issues and renews.
type Automatic struct {
	opts  Options
	cache *certmagic.Cache
	magic *certmagic.Config
}

// NewAutomatic returns certificates for the domains. It obtains none before Start.
func NewAutomatic(opts Options) *Automatic {
	a := &Automatic{opts: opts}
	log := zap.New(bridge{opts.Logger})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil }, Logger: log,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: opts.Folder}, Logger: log})
	directory := opts.Directory
	if directory == "" {
		directory = certmagic.LetsEncryptProductionCA
	}
	// The challenge is answered by the listener itself (RFC 8737): no second port has to be open.
	a.magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(a.magic, certmagic.ACMEIssuer{
		CA: directory, TestCA: directory, Email: opts.Email, Agreed: true, DisableHTTPChallenge: true, AltTLSALPNPort: opts.Port, Logger: log,
	})}
	return a
}

// Start begins to obtain and renew the certificates, once the listener is there. What fails is logged and tried again.
func (a *Automatic) Start(ctx context.Context) error {
	return a.magic.ManageAsync(ctx, a.opts.Domains)
}

// Stop ends the renewing.
func (a *Automatic) Stop() { a.cache.Stop() }

// Config returns how to serve with the certificates, over HTTP/2 and HTTP/1.1.
func (a *Automatic) Config() *tls.Config {
	c, magic := serving(), a.magic.TLSConfig()
	c.GetCertificate = magic.GetCertificate
	c.NextProtos = append(c.NextProtos, magic.NextProtos...)
	return c
}

// bridge lets zap's lines be ours.
type bridge struct{ log *slog.Logger }

// Enabled implements zapcore.Core.
func (b bridge) Enabled(level zapcore.Level) bool {
	return b.log.Enabled(context.Background(), levelOf(level))
}

// With implements zapcore.Core.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	var attrs []any
	for _, a := range attributes(fields) {
		attrs = append(attrs, a)
	}
	return bridge{b.log.With(attrs...)}
}

// Check implements zapcore.Core.
func (b bridge) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return checked.AddCore(e, b)
	}
	return checked
}

// Write implements zapcore.Core.
func (b bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	b.log.LogAttrs(context.Background(), levelOf(e.Level), "certificates", append([]slog.Attr{slog.String("did", e.Message)}, attributes(fields)...)...)
	return nil
}

// Sync implements zapcore.Core.
func (bridge) Sync() error { return nil }

func levelOf(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// attributes leaves out what zap calls a skipped field, such as an error that is nil.
func attributes(fields []zapcore.Field) []slog.Attr {
	attrs := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		values := zapcore.NewMapObjectEncoder()
		f.AddTo(values)
		for _, key := range slices.Sorted(maps.Keys(values.Fields)) {
			attrs = append(attrs, slog.Any(key, values.Fields[key]))
		}
	}
	return attrs
}
