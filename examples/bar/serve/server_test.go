package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

const origin = "http://127.0.0.1:8090"

func newTestServer(t *testing.T) *server {
	t.Helper()
	web := t.TempDir()
	if err := os.WriteFile(filepath.Join(web, "index.html"), []byte("the app"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"worker.js": "the worker", "assets/app-5FMYQ67N.js": "its script"} {
		file := filepath.Join(web, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return newServer(settings{hub: "http://127.0.0.1:8080", admin: "http://127.0.0.1:1", web: web, lifetime: time.Minute}, []byte(strings.Repeat("s", 32)))
}

// ask sends a request as a page of this server does, but for what with changes.
func ask(t *testing.T, s *server, method, path, body string, with func(*http.Request)) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, origin+path, strings.NewReader(body))
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if with != nil {
		with(r)
	}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		got = map[string]any{"text": string(text)}
	}
	return w.Code, got
}

func TestOnlyPagesOfThisMachineAreServed(t *testing.T) {
	s := newTestServer(t)
	for name, tt := range map[string]struct {
		with func(*http.Request)
		want int
	}{
		"a page of its own":      {nil, 200},
		"a page by another name": {func(r *http.Request) { r.Host = "localhost:8090"; r.Header.Set("Origin", "http://localhost:8090") }, 200},
		"curl":                   {func(r *http.Request) { r.Header.Del("Origin"); r.Header.Del("Sec-Fetch-Site") }, 200},
		"another site's page":    {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, 403},
		"another site's form":    {func(r *http.Request) { r.Header.Del("Origin"); r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"a name that was rebound": {func(r *http.Request) {
			r.Host = "evil.example:8090"
			r.Header.Set("Origin", "http://evil.example:8090")
		}, 403},
		"a body that no page of ours": {func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 400},
	} {
		if code, got := ask(t, s, "POST", "/api/sessions", `{"user":"waiter-1","role":"waiter"}`, tt.with); code != tt.want {
			t.Errorf("%s: %d %v, want %d", name, code, got, tt.want)
		}
	}
	if code, got := ask(t, s, "GET", "/", "", nil); code != 200 || got["text"] != "the app" {
		t.Errorf("the app: %d %v", code, got)
	}
}

// A browser that kept an old page or an old worker would stay with an old app; one that asks for each script would be slow.
func TestOnlyWhatIsNamedByItsContentsIsKeptUnasked(t *testing.T) {
	s := newTestServer(t)
	const asked, forGood = "no-cache", "public, max-age=31536000, immutable"
	for path, want := range map[string]struct {
		code        int
		cache, kind string
	}{
		"/":                       {200, asked, "text/html; charset=utf-8"},
		"/worker.js":              {200, asked, "text/javascript; charset=utf-8"},
		"/assets/app-5FMYQ67N.js": {200, forGood, "text/javascript; charset=utf-8"},
		"/assets/app-00000000.js": {404, "", "text/plain; charset=utf-8"}, // of another build
		"/assets/":                {200, asked, "text/html; charset=utf-8"},
		"/api/staff":              {200, "no-store", "application/json"},
	} {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil))
		got := w.Result().Header
		if w.Code != want.code || got.Get("Cache-Control") != want.cache || got.Get("Content-Type") != want.kind {
			t.Errorf("%s: %d, Cache-Control %q, Content-Type %q; want %v", path, w.Code, got.Get("Cache-Control"), got.Get("Content-Type"), want)
		}
		if policy := got.Get("Content-Security-Policy"); !strings.Contains(policy, "worker-src 'self'") {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
	}
}

func TestNobodyTakesARoleThatTheyDoNotHold(t *testing.T) {
	s := newTestServer(t)
	for body, want := range map[string]int{
		`{"user":"waiter-1","role":"waiter"}`:          200,
		`{"user":"manager","role":"till"}`:             200,
		`{"user":"waiter-1","role":"manager"}`:         403,
		`{"user":"waiter-1","role":"admin"}`:           403,
		`{"user":"nobody","role":"waiter"}`:            403,
		`{"user":"waiter-1"}`:                          403,
		`{"user":"waiter-1","role":"waiter","more":1}`: 400,
		`{"user":"waiter-1","role":"waiter"} and more`: 400,
		`{"user":["waiter-1"],"role":"waiter"}`:        400,
		`"` + strings.Repeat("a", 5000) + `"`:          400,
	} {
		if code, got := ask(t, s, "POST", "/api/sessions", body, nil); code != want {
			t.Errorf("%.60s: %d %v, want %d", body, code, got, want)
		}
	}
}

func TestASessionIsRenewedUntilTheShiftEnds(t *testing.T) {
	s := newTestServer(t)
	now := time.Now()
	s.sessions.now = func() time.Time { return now }
	renew := func(session string) (int, map[string]any) {
		return ask(t, s, "POST", "/api/tokens", `{"session":"`+session+`"}`, nil)
	}
	mine := s.sessions.begin("waiter-1", "waiter")
	if code, got := renew(mine); code != 200 || got["user"] != "waiter-1" || got["role"] != "waiter" || got["token"] == "" {
		t.Fatalf("renewed: %d %v", code, got)
	}
	token, ok := func() (string, bool) { _, got := renew(mine); token, ok := got["token"].(string); return token, ok }()
	if !ok {
		t.Fatal("no token")
	}
	another := sessions{[]byte(strings.Repeat("x", 32)), time.Now}
	for name, session := range map[string]string{
		"none": "", "a token": token, "another secret's": another.begin("waiter-1", "waiter"),
		"a changed one":           "d2FpdGVyLTEgbWFuYWdlciA5OTk5OTk5OTk5" + mine[strings.Index(mine, "."):],
		"a role that is not held": s.sessions.begin("waiter-1", "manager"),
	} {
		if code, got := renew(session); code != 401 {
			t.Errorf("%s: %d %v", name, code, got)
		}
	}
	now = now.Add(shift)
	if code, got := renew(mine); code != 401 {
		t.Errorf("after the shift: %d %v", code, got)
	}
}

func TestTheAuditIsForTheManager(t *testing.T) {
	s := newTestServer(t)
	for user, want := range map[string]int{
		"waiter-1 waiter": 403, "manager till": 403,
		"manager manager": 502, // there is no hub here
	} {
		name, role, _ := strings.Cut(user, " ")
		code, got := ask(t, s, "GET", "/api/audit", "", func(r *http.Request) { r.Header.Set("Bar-Session", s.sessions.begin(name, role)) })
		if code != want {
			t.Errorf("%s: %d %v, want %d", user, code, got, want)
		}
	}
	if code, _ := ask(t, s, "GET", "/api/audit", "", nil); code != 401 {
		t.Errorf("nobody: %d", code)
	}
}

func TestItListensOnLoopbackAlone(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:8090", ":8090", "192.0.2.1:8090", "bar.example:8090", "127.0.0.1"} {
		if err := run(t.Context(), settings{listen: listen}); err == nil || !strings.Contains(err.Error(), "want a loopback address") {
			t.Errorf("%s: %v", listen, err)
		}
	}
}

// What a page sends as its session is sealed, or opens nothing.
func FuzzASessionThatNobodySealedOpensNothing(f *testing.F) {
	s := sessions{[]byte(strings.Repeat("s", 32)), time.Now}
	mine := s.begin("waiter-1", "waiter")
	for _, seed := range []string{mine, "", ".", mine + "0", strings.ToUpper(mine), "d2FpdGVyLTEgbWFuYWdlciA5OTk5OTk5OTk5.00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, session string) {
		user, role, err := s.open(session)
		if err == nil && (user != "waiter-1" || role != "waiter") {
			t.Errorf("%q opens as %s, %s", session, user, role)
		}
		if err != nil && (user != "" || role != "") {
			t.Errorf("%q is refused, and tells %s, %s", session, user, role)
		}
	})
}
