package main

import (
	"io"
	"log/slog"

	"github.com/roxyhub/roxy/internal/config"
)

// newLogger returns the one logger of the process.
func newLogger(out io.Writer, c config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(out, opts))
	}
	return slog.New(slog.NewJSONHandler(out, opts))
}
