package main

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/roxyhub/roxy/internal/certificate"
	"github.com/roxyhub/roxy/internal/config"
)

// certificates are where the public listener's comes from: files, an authority, or nowhere for cleartext.
type certificates struct {
	config    *tls.Config // nil for cleartext
	files     *certificate.Files
	automatic *certificate.Automatic

	watched []string
	changed chan struct{} // a file has changed
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// certificatesOf reads or prepares what the configuration says.
func certificatesOf(c *config.Loaded, log *slog.Logger) (*certificates, error) {
	all := &certificates{changed: make(chan struct{}, 1)}
	switch {
	case c.TLS.Certificate != "":
		files, err := certificate.Load(string(c.TLS.Certificate), string(c.TLS.Key), log)
		if err != nil {
			return nil, err
		}
		all.files, all.config = files, files.Config()
		all.watched = []string{string(c.TLS.Certificate), string(c.TLS.Key)}
	case len(c.TLS.Domains) > 0:
		_, port, err := net.SplitHostPort(string(c.Listen[0]))
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		all.automatic = certificate.NewAutomatic(certificate.Options{
			Domains: c.TLS.Domains, Email: c.TLS.Email, Directory: c.TLS.Authority, Folder: filepath.Join(string(c.Data), "certificates"), Port: n, Logger: log,
		})
		all.config = all.automatic.Config()
	}
	return all, nil
}

// start begins to watch the files, or to obtain certificates by the listener that is there now.
func (c *certificates) start(ctx context.Context) error {
	if c.automatic != nil {
		return c.automatic.Start(ctx)
	}
	ctx, c.cancel = context.WithCancel(ctx)
	for _, file := range c.watched {
		c.running.Go(func() {
			config.Watch(ctx, file, nil, func() {
				select {
				case c.changed <- struct{}{}:
				default: // one is waiting, and will read what is there by then
				}
			})
		})
	}
	return nil
}

func (c *certificates) stop() {
	if c.automatic != nil {
		c.automatic.Stop()
	}
	if c.cancel != nil {
		c.cancel()
		c.running.Wait()
	}
}
