package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// secretPrefix opens a secret that is written in Base64, as Standard Webhooks serializes them.
const secretPrefix = "whsec_"

// The bounds of a key, by the same specification.
const (
	minSecret = 24
	maxSecret = 64
)

// Secret is what requests are signed with. It is never printed.
type Secret struct{ key []byte }

// ParseSecret returns the secret written as text: whsec_ and Base64, or else the bytes themselves. No error holds it.
func ParseSecret(text string) (Secret, error) {
	key := []byte(text)
	if encoded, ok := strings.CutPrefix(text, secretPrefix); ok {
		var err error
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return Secret{}, fmt.Errorf("what follows %s is not Base64", secretPrefix)
		}
	}
	if n := len(key); n < minSecret || n > maxSecret {
		return Secret{}, fmt.Errorf("a secret of %d bytes, want %d–%d: make one with `echo whsec_$(openssl rand -base64 32)`", n, minSecret, maxSecret)
	}
	return Secret{key}, nil
}

// String hides the secret, as do all the ways of printing.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// sign returns the header Webhook-Signature of a request.
func (s Secret) sign(id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(strconv.AppendInt([]byte(id+"."), at.Unix(), 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// CheckURL returns an error unless dead letters may be sent to raw: over TLS, or within this machine. No error holds it,
// since it may be as good as a password.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return errors.New("it is not a URL")
	}
	if u.Hostname() == "" {
		return errors.New("it names no host, as in https://alarm.example/dead-letters")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && loopback {
		return nil
	}
	return errors.New("whoever is on the way could read dead letters: use https (http only for localhost)")
}
