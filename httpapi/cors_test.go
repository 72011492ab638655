package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/limit"
)

func TestCORSOriginsAreOriginsAndNothingElse(t *testing.T) {
	for origin, ok := range map[string]bool{
		"https://bar.example": true, "http://localhost:5173": true, "*": false, "https://*.bar.example": false, "https://bar.example/": false,
		"bar.example": false, "null": false, "": false, "https://u@bar.example": false, "https://bar.example?x": false,
	} {
		err := CORS{Origins: []string{"https://a.example", origin}, Credentials: true}.check()
		if (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "cors.origins[1]: ") {
			t.Errorf("%q: the error does not say which: %v", origin, err)
		}
	}
	if err := (CORS{Origins: []string{"*"}}).check(); err != nil {
		t.Errorf("* without credentials: %v", err)
	}
	if _, err := New(Options{CORS: CORS{Origins: []string{"*"}, Credentials: true}}); err == nil {
		t.Error("New took * with credentials")
	}
}

func TestCORSPreflights(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	for name, tt := range map[string]struct {
		origin, method, headers, path string
		allowed                       bool
	}{
		"a publish":           {"https://bar.example", "POST", "authorization,content-type,idempotency-key,traceparent", "/v1/events", true},
		"a CloudEvent":        {"https://bar.example", "POST", "ce-correlationid,ce-id,ce-roxyroles,ce-source,ce-specversion,ce-subject,ce-type,content-type", "/v1/events", true},
		"a stream by fetch":   {"https://bar.example", "GET", "authorization,last-event-id,roxy-client", "/v1/stream", true},
		"a ticket":            {"https://bar.example", "POST", "authorization", "/v1/tickets", true},
		"another origin":      {"https://evil.example", "POST", "authorization", "/v1/events", false},
		"a longer name":       {"https://bar.example.evil.example", "POST", "authorization", "/v1/events", false},
		"another scheme":      {"http://bar.example", "POST", "authorization", "/v1/events", false},
		"the null origin":     {"null", "POST", "authorization", "/v1/events", false},
		"a header not ours":   {"https://bar.example", "POST", "x-other", "/v1/events", false},
		"a put":               {"https://bar.example", "PUT", "authorization,content-type,if-match,if-none-match", "/v1/entities/orders/1", true},
		"a patch":             {"https://bar.example", "PATCH", "authorization,content-type,idempotency-key,roxy-base,roxy-correlation,roxy-device,roxy-seq,roxy-type", "/v1/entities/orders/1", true},
		"a cancellation":      {"https://bar.example", "DELETE", "authorization", "/v1/mutations/m-1", true},
		"a method not served": {"https://bar.example", "CONNECT", "", "/v1/events", false},
	} {
		t.Run(name, func(t *testing.T) {
			status, header := s.head(t, call{http.MethodOptions, tt.path, map[string]string{
				"Authorization": "", "Origin": tt.origin, "Access-Control-Request-Method": tt.method, "Access-Control-Request-Headers": tt.headers,
			}, ""})
			origin, credentials := header.Get("Access-Control-Allow-Origin"), header.Get("Access-Control-Allow-Credentials")
			if tt.allowed && (origin != tt.origin || credentials != "true" || header.Get("Access-Control-Allow-Headers") != tt.headers || header.Get("Access-Control-Max-Age") != "600") {
				t.Errorf("refused: %v", header)
			}
			if !tt.allowed && (origin != "" || credentials != "") {
				t.Errorf("allowed: %v", header)
			}
			if status != http.StatusNoContent || !strings.Contains(strings.Join(header["Vary"], ","), "Origin") {
				t.Errorf("status %d, Vary %q", status, header["Vary"])
			}
		})
	}
}

func TestCORSLetsPagesReadRefusals(t *testing.T) {
	s := open(t, limit.Options{}, nil)
	for origin, allowed := range map[string]string{"https://bar.example": "https://bar.example", "https://evil.example": ""} {
		for _, path := range []string{"/v1/ping", "/v1/nowhere"} {
			_, header := s.head(t, call{path: path, header: map[string]string{"Origin": origin}})
			if got := header.Get("Access-Control-Allow-Origin"); got != allowed {
				t.Errorf("%s for %s: allowed origin %q", path, origin, got)
			}
			exposed := header.Get("Access-Control-Expose-Headers")
			if allowed != "" && exposed != "Allow, Etag, Ratelimit, Ratelimit-Policy, Retry-After, Www-Authenticate" {
				t.Errorf("%s: exposed headers %q", path, exposed)
			}
			if header.Get("Vary") != "Origin" {
				t.Errorf("%s: Vary %q", path, header["Vary"])
			}
		}
	}
}

func TestWithoutOriginsNobodyIsAllowed(t *testing.T) {
	s := open(t, limit.Options{}, func(o *Options) { o.CORS = CORS{Credentials: true} })
	for _, method := range []string{http.MethodGet, http.MethodOptions} {
		_, header := s.head(t, call{method: method, path: "/v1/ping", header: map[string]string{"Origin": "https://bar.example", "Access-Control-Request-Method": "GET"}})
		if got := header.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s: allowed origin %q", method, got)
		}
	}
}
