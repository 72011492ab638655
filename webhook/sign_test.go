package webhook

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The example of the specification's own libraries.
func TestSignatureIsThatOfStandardWebhooks(t *testing.T) {
	got := secret(t).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseSecretSaysWhatIsWrongAndNotTheSecret(t *testing.T) {
	for text, want := range map[string]string{
		secretText:              "",
		strings.Repeat("k", 24): "",
		strings.Repeat("k", 64): "",
		strings.Repeat("k", 23): "23 bytes",
		strings.Repeat("k", 65): "65 bytes",
		"":                      "0 bytes",
		"whsec_MfKQ9r8G":        "6 bytes",
		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw!!": "not Base64",
	} {
		s, err := ParseSecret(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || len(text) > 6 && strings.Contains(err.Error(), text[6:])) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		for _, printed := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %d", s, s, s, Options{Secret: s}.Secret), slog.AnyValue(s).Resolve().String()} {
			if err == nil && strings.Contains(printed, text) {
				t.Errorf("printed: %s", printed)
			}
		}
	}
}

func TestCheckURLWantsTLSBeyondThisMachine(t *testing.T) {
	for raw, want := range map[string]string{
		"https://alarm.example/x?key=1":     "",
		"https://user:pass@alarm.example":   "",
		"http://localhost:8080/x":           "",
		"http://127.0.0.2":                  "",
		"http://[::1]:80/":                  "",
		"http://alarm.example/":             "use https",
		"http://user:hidden@alarm.example/": "use https",
		"http://127.0.0.1.example/":         "use https",
		"ftp://localhost/":                  "use https",
		"alarm.example":                     "names no host",
		"https:///hidden":                   "names no host",
		"https://al arm/hidden":             "not a URL",
		"":                                  "names no host",
	} {
		err := CheckURL(raw)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%q: %v, want %q", raw, err, want)
		}
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"7":                             7 * time.Second,
		" 7 ":                           7 * time.Second,
		"3600":                          time.Hour,
		"86400":                         time.Hour,
		"9223372036854775807":           time.Hour,
		"-1":                            0,
		"1.5":                           0,
		"soon":                          0,
		"Tue, 24 Nov 2026 20:00:30 GMT": 30 * time.Second,
		"Tue, 24 Nov 2026 19:00:00 GMT": 0,
		"Wed, 25 Nov 2026 20:00:00 GMT": time.Hour,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 24, 20, 0, 0, 0, time.UTC)
	for _, header := range []string{"", "7", "-7", "99999999999999999999", now.Format(http.TimeFormat), "Tue, 24 Nov 9999 20:00:30 GMT"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := retryAfter(header, now); got < 0 || got > maxRetryAfter {
			t.Errorf("%q: %s", header, got)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	for _, text := range []string{secretText, "whsec_", "whsec_====", strings.Repeat("k", 32)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err == nil && (len(s.key) < minSecret || len(s.key) > maxSecret) {
			t.Errorf("%q: a key of %d bytes", text, len(s.key))
		}
	})
}

func TestTheWaitGrowsUpToItsBound(t *testing.T) {
	last := time.Duration(0)
	for try := 1; try <= 200; try++ {
		wait := backoff(firstWait, try)
		if wait < last || wait > longestWait || try == 1 && wait != firstWait || wait < longestWait && last > 0 && wait != 2*last {
			t.Fatalf("try %d: %s after %s", try, wait, last)
		}
		last = wait
	}
	if last != longestWait {
		t.Errorf("the last is %s", last)
	}
}
