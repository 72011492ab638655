package main

import (
	"context"
	"log/slog"

	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/internal/config"
	"github.com/roxyhub/roxy/webhook"
)

// webhookOf starts to deliver dead letters, when there is where to; nil otherwise.
func webhookOf(ctx context.Context, c *config.Loaded, store *disk.Engine, log *slog.Logger) (*webhook.Webhook, error) {
	if c.Webhook.URL == "" {
		return nil, nil //nolint:nilnil // a nil Webhook delivers nothing
	}
	return webhook.Start(ctx, store, webhook.Options{URL: c.Webhook.URL, Secret: c.WebhookSecret, Logger: log})
}

func closeWebhook(ctx context.Context, w *webhook.Webhook) error {
	ctx, cancel := context.WithTimeout(ctx, stopTime)
	defer cancel()
	return w.Close(ctx)
}
