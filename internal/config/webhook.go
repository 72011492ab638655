package config

import (
	"os"
	"strings"

	"github.com/roxyhub/roxy/webhook"
)

// webhook reads the secret of a webhook. No error holds its URL, which may be as good as a password.
func (c *checker) webhook() {
	w := &c.loaded.Webhook
	if w.URL == "" {
		if w.Secret != "" || w.SecretFile != "" {
			c.fail("webhook.url", "a secret is there and nothing to sign: set webhook.url, or remove the secret")
		}
		return
	}
	if err := webhook.CheckURL(w.URL); err != nil {
		c.fail("webhook.url", "%v", err)
	}
	if (w.Secret == "") == (w.SecretFile == "") {
		c.fail("webhook.secretFile", "want exactly one of secret and secretFile: the receiver knows by the signature that it is this hub")
		return
	}
	at, text := "webhook.secret", string(w.Secret)
	if w.SecretFile != "" {
		at = "webhook.secretFile"
		content, err := os.ReadFile(string(w.SecretFile))
		if err != nil {
			c.fail(at, "%v", err)
			return
		}
		c.private(at, w.SecretFile)
		text = strings.TrimSpace(string(content))
	}
	secret, err := webhook.ParseSecret(text)
	if err != nil {
		c.fail(at, "%v", err)
	}
	c.loaded.WebhookSecret = secret
}
