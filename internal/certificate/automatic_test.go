package certificate

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap" //nolint:depguard // what certmagic logs with
)

// What certmagic logs comes out as a line of ours, at the level that it had and with its fields.
func TestCertmagicsLinesAreOurs(t *testing.T) {
	var out bytes.Buffer
	remove := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	log := zap.New(bridge{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: remove}))})
	log.Debug("left out")
	log.With(zap.String("domain", "hub.bar.example")).Info("obtaining", zap.Int("attempt", 2), zap.Error(nil))
	log.Warn("trying again")
	log.Error("failed", zap.Error(errors.New("no route")))
	want := `level=INFO msg=certificates domain=hub.bar.example did=obtaining attempt=2
level=WARN msg=certificates did="trying again"
level=ERROR msg=certificates did=failed error="no route"`
	if got := strings.TrimSpace(out.String()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
