package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/roxyhub/roxy/limit"
)

// On a connection that took one of the last descriptors nothing begins that would stay, and everything else is answered.
func TestSurplusConnectionsCarryNoStreams(t *testing.T) {
	limits := limit.New(limit.Options{})
	s := open(t, limit.Options{}, func(o *Options) { o.Limits = limits })
	upgrade := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "roxy.v1.json",
	}
	for name, tt := range map[string]struct {
		method, path, body string
		header             map[string]string
		status             int
		holds              string
	}{
		"a stream":                      {http.MethodGet, "/v1/stream?topic=orders/*", "", map[string]string{"Roxy-Client": "test"}, http.StatusServiceUnavailable, "no descriptor"},
		"a stream of an EventSource":    {http.MethodGet, "/v1/stream?topic=orders/*", "", nil, http.StatusOK, `"reason":"overload"`},
		"a WebSocket":                   {http.MethodGet, "/v1/ws", "", upgrade, http.StatusServiceUnavailable, "no descriptor"},
		"a publish, which is over soon": {http.MethodPost, "/v1/events", `{"topic":"orders/1"}`, nil, http.StatusOK, `"offset":1`},
		"a ping":                        {http.MethodGet, "/v1/ping", "", nil, http.StatusOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(Surplus(t.Context()), tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", "Bearer "+sign(t, nil))
			r.Header.Set("Content-Type", "application/json")
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			s.Config.Handler.ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.holds) {
				t.Errorf("got %d: %s", w.Code, w.Body)
			}
			if w.Header().Get("Connection") != "close" {
				t.Error("the connection was to stay")
			}
			if w.Code == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("it does not say when to come back")
			}
		})
	}
	if n := limits.Stats().Refused[limit.Descriptors]; n != 3 {
		t.Errorf("counted %d refusals", n)
	}
}
