package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/internal/config"
)

// developmentSecret is the file in the data folder that signs development tokens.
const developmentSecret = "dev-secret"

// developmentPolicy lets one role do everything: whoever has the token is at this machine.
const developmentPolicy = `{developer: {read: ["**"], publish: ["**"], write: ["**"], admin: true}}`

// serveDevelopment runs a hub that needs no configuration and is safe because only this machine reaches it.
func serveDevelopment(ctx context.Context, from config.Sources, again *reloads) error {
	data := config.Default().Data
	if s, ok := from.Env("ROXY_DATA"); ok {
		data = config.Path(s)
	}
	if s, ok := from.Flags["data"]; ok {
		data = config.Path(s)
	}
	secret, err := ownSecret(filepath.Join(string(data), developmentSecret))
	if err != nil {
		return err
	}
	from.Flags["auth-keys"] = fmt.Sprintf("[{alg: HS256, secret: %q}]", secret)
	if _, ok := from.Flags["policy-roles"]; !ok {
		from.Flags["policy-roles"] = developmentPolicy
	}
	if _, ok := from.Env("ROXY_LOG_FORMAT"); !ok && from.Flags["log-format"] == "" {
		from.Flags["log-format"] = "text"
	}
	loaded, err := config.Load(from)
	if err != nil {
		return err
	}
	for _, a := range append(loaded.Listen, loaded.Admin.Listen) {
		host, _, _ := net.SplitHostPort(string(a))
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%s can be reached from other machines: a hub without a configuration listens on loopback only. Write a configuration and start it with --config", a)
		}
	}
	token, err := auth.SignDevelopment([]byte(secret), auth.Claims{
		User: "developer", Roles: []string{"developer"}, IssuedAt: time.Now(), Expires: time.Now().Add(7 * 24 * time.Hour),
	})
	if err != nil {
		return err
	}
	return serve(ctx, loaded, from, again, func() { teach(loaded, token) })
}

// ownSecret returns the secret in file, made when it is not there yet.
func ownSecret(file string) (string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's own folder
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return "", err
	}
	secret := rand.Text() + rand.Text()
	return secret, os.WriteFile(file, []byte(secret), 0o600)
}

// teach prints what to paste next. The token is the development hub's: it opens nothing else.
func teach(c *config.Loaded, token string) {
	scheme := "http"
	if c.TLS.On() {
		scheme = "https"
	}
	url := scheme + "://" + string(c.Listen[0])
	fmt.Fprintf(os.Stderr, `
A hub for development. Its events are in %s; a token for it, good for a week:

  export ROXY_TOKEN=%s

Follow events, in another terminal:

  roxy tail --url %[3]s '**'
  curl -N -H "Authorization: Bearer $ROXY_TOKEN" '%[3]s/v1/stream?topic=**'

and publish one:

  roxy publish --url %[3]s orders/7 '{"table":7,"items":["beer"]}'
  curl -H "Authorization: Bearer $ROXY_TOKEN" --json '{"topic":"orders/7","data":{"table":7}}' %[3]s/v1/events

For the operator: http://%[4]s/readyz, /metrics. For production: roxy serve --config FILE; see docs/configuration.md.

`, c.Data, token, url, c.Admin.Listen)
}
