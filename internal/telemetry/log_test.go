package telemetry

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

func TestALineIsOneJSONObject(t *testing.T) {
	var out strings.Builder
	log := Logger(&out, slog.LevelInfo, "json")
	log.Debug("not told")
	log.Error("stream\nclosed", slog.Duration("after", 1500*time.Millisecond), slog.Any("error", errors.New("why")),
		slog.Time("at", time.Date(2026, 11, 23, 18, 0, 0, 0, time.FixedZone("", 3600))))
	if strings.Count(out.String(), "\n") != 1 {
		t.Fatalf("got %q", out.String())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	if line["msg"] != "stream\nclosed" || line["after"] != "1.5s" || line["error"] != "why" || line["at"] != "2026-11-23T17:00:00Z" || line["level"] != "ERROR" {
		t.Errorf("got %v", line)
	}
	if at, ok := line["time"].(string); !ok || !strings.HasSuffix(at, "Z") {
		t.Errorf("time %v is not in UTC", line["time"])
	}
}

func TestTextIsForPeople(t *testing.T) {
	var out strings.Builder
	Logger(&out, slog.LevelWarn, "text").Warn("disk full", slog.Int("free", 7))
	if !strings.HasSuffix(out.String(), `level=WARN msg="disk full" free=7`+"\n") {
		t.Errorf("got %q", out.String())
	}
}
