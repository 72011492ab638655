package telemetry

import (
	"io"
	"log/slog"
	"time"
)

// Logger returns a logger that writes to w what is of level or above: one JSON object a line, or key=value pairs when
// format is "text". Times are in UTC, durations are spelled as on the wire, such as "1.5s".
func Logger(w io.Writer, level slog.Level, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Value.Kind() {
		case slog.KindTime:
			return slog.Time(a.Key, a.Value.Time().UTC())
		case slog.KindDuration:
			return slog.String(a.Key, a.Value.Duration().Round(time.Microsecond).String())
		default:
			return a
		}
	}}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}
