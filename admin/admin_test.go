package admin

import (
	"reflect"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/internal/measure"
)

func TestOnlyAdministratorsGetBeyondHealthAndMetrics(t *testing.T) {
	s := open(t)
	waiter, manager := token(t, "bar", "u7", false), token(t, "bar", "boss", true)
	for _, tt := range []struct {
		method, path string
		open         bool
	}{
		{"GET", "/healthz", true},
		{"GET", "/readyz", true},
		{"GET", "/metrics", true},
		{"GET", "/debug/pprof/", false},
		{"GET", "/debug/pprof/heap", false},
		{"GET", "/debug/pprof/symbol", false},
		{"GET", "/v1/admin/stats", false},
		{"GET", "/v1/admin/connections", false},
		{"GET", "/v1/admin/devices", false},
		{"POST", "/v1/admin/revocations", false},
	} {
		for bearer, want := range map[string]int{"": 401, "not.a.token": 401, waiter: 403, manager: 200} {
			if tt.open {
				want = 200
			}
			got := s.ask(t, tt.method, tt.path, bearer, `{"jti":"someone"}`)
			if got.status != want {
				t.Errorf("%s %s as %.8q: %d, want %d: %s", tt.method, tt.path, bearer, got.status, want, got.body)
			}
			if got.status >= 400 {
				got.code(t)
			}
		}
	}
}

func TestWhateverElseIsAskedIsAProblem(t *testing.T) {
	s := open(t)
	manager := token(t, "bar", "boss", true)
	for _, tt := range []struct {
		method, path string
		status       int
		code, allow  string
	}{
		{"GET", "/", 404, "not-found", ""},
		{"GET", "/v1/admin/", 404, "not-found", ""},
		{"GET", "/v1/admin/connections/7", 404, "not-found", ""},
		{"GET", "/debug/pprof/cmdline", 404, "not-found", ""},
		{"GET", "/debug/pprof/nothing", 404, "not-found", ""},
		{"POST", "/healthz", 405, "method-not-allowed", "GET, HEAD, OPTIONS"},
		{"DELETE", "/v1/admin/connections", 405, "method-not-allowed", "GET, HEAD, OPTIONS"},
		{"GET", "/v1/admin/revocations", 405, "method-not-allowed", "POST, OPTIONS"},
		{"GET", "/v1/admin/drain", 405, "method-not-allowed", "POST, OPTIONS"},
	} {
		got := s.ask(t, tt.method, tt.path, manager, "")
		if code, _, _ := got.code(t); got.status != tt.status || code != tt.code || got.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d %s, Allow %q", tt.method, tt.path, got.status, code, got.header.Get("Allow"))
		}
	}
	if got := s.ask(t, "OPTIONS", "/v1/admin/revocations", "", ""); got.status != 204 || got.header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("OPTIONS: %d, Allow %q", got.status, got.header.Get("Allow"))
	}
}

func TestAnAdministratorSeesTheStreamsOfTheirTenantAndNoOther(t *testing.T) {
	s := open(t)
	before := time.Now()
	s.follow(t, token(t, "bar", "u7", false))
	s.follow(t, token(t, "club", "u8", false))
	s.follow(t, token(t, "club", "u9", false))

	var got struct {
		Connections []connection `json:"connections"`
	}
	s.ask(t, "GET", "/v1/admin/connections", token(t, "bar", "boss", true), "").into(t, &got)
	if len(got.Connections) != 1 {
		t.Fatalf("%d streams, want that of u7: %+v", len(got.Connections), got)
	}
	c := got.Connections[0]
	if c.User != "u7" || !reflect.DeepEqual(c.Roles, []string{"waiter"}) || c.Transport != "sse" || c.Remote != "127.0.0.1" ||
		!reflect.DeepEqual(c.Patterns, []string{"orders/*"}) || c.ID == "" || c.Pending != 0 {
		t.Errorf("got %+v", c)
	}
	if c.Since.Before(before.Add(-time.Second)) || c.Since.After(time.Now()) || !c.Expires.After(time.Now()) {
		t.Errorf("since %s, expires %s", c.Since, c.Expires)
	}
	if _, err := roxy.ParseCursor(c.Cursor); err != nil {
		t.Error(err)
	}

	for tenant, want := range map[string]int{"bar": 1, "club": 2, "empty": 0} {
		var st stats
		s.ask(t, "GET", "/v1/admin/stats", token(t, tenant, "boss", true), "").into(t, &st)
		if st.Connections != want || st.Queues == nil || st.Health.Memory == 0 {
			t.Errorf("%s: %+v, want %d connections", tenant, st, want)
		}
		if _, err := time.ParseDuration(st.Health.Uptime); err != nil {
			t.Error(err)
		}
	}
}

func TestQuantilesBeyondTheLastBoundAreToldAsSuch(t *testing.T) {
	h := measure.NewHistogram(.0002, .005, 5)
	if got := quantilesOf(h.Snapshot()); got != (quantiles{"0s", "0s"}) {
		t.Errorf("of nothing: %+v", got)
	}
	h.Observe(.0001)
	h.Observe(60)
	if got := quantilesOf(h.Snapshot()); got != (quantiles{"200µs", "more than 5s"}) {
		t.Errorf("got %+v", got)
	}
}
