package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signingKey signs the tests' tokens, 32 bytes as HS256 wants them.
const signingKey = "a key for tests and nothing else"

// site is a whole hub behind a real socket.
type site struct {
	*httptest.Server
	hub    *hub.Hub
	engine *disk.Engine
	log    *lockedBuffer // what the listener logged, from debug on
}

// open starts a hub whose users may do what their tokens say. change may alter the listener's options.
func open(tb testing.TB, limits limit.Options, change func(*Options)) *site {
	tb.Helper()
	engine, err := disk.Open("data", disk.Options{FS: vfs.NewMem()})
	if err != nil {
		tb.Fatal(err)
	}
	h, err := hub.Start(tb.Context(), engine, hub.Options{Describe: Describe})
	if err != nil {
		tb.Fatal(err)
	}
	verifier, err := auth.New(tb.Context(), auth.Options{
		Keys: []auth.Key{{Algorithm: "HS256", Secret: []byte(signingKey)}}, Cookie: "roxy_token", Revoked: h.Revoked,
	})
	if err != nil {
		tb.Fatal(err)
	}
	s := &site{hub: h, engine: engine, log: new(lockedBuffer)}
	opts := Options{
		Hub: h, Auth: verifier, Limits: limit.New(limits),
		CORS:   CORS{Origins: []string{"https://bar.example"}, Credentials: true},
		Logger: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&opts)
	}
	handler, err := New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	s.Server = httptest.NewServer(handler)
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a redirect is an answer, too
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			tb.Error(err)
		}
		s.Close()
		verifier.Close()
		if err := engine.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// sign returns a token of u7 of the bar, who may read, publish and write orders, after change.
func sign(tb testing.TB, change func(*auth.Claims)) string {
	tb.Helper()
	claims := auth.Claims{
		User: "u7", Tenant: "bar", IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
		Grant: roxy.Grant{Read: []roxy.Pattern{pattern(tb, "orders/**"), pattern(tb, "roxy/presence")}, Publish: []roxy.Pattern{pattern(tb, "orders/*")}, Write: []roxy.Pattern{pattern(tb, "orders/*")}},
	}
	if change != nil {
		change(&claims)
	}
	token, err := auth.SignDevelopment([]byte(signingKey), claims)
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

func pattern(tb testing.TB, s string) roxy.Pattern {
	tb.Helper()
	p, err := roxy.ParsePattern(s)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// call is one request; its zero value is GET with the waiter's token.
type call struct {
	method, path string
	header       map[string]string // a header of "" is not sent
	body         string
}

// do sends c; the body is closed with the test.
func (s *site) do(t *testing.T, c call) *http.Response {
	t.Helper()
	if c.method == "" {
		c.method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sign(t, nil))
	if c.method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// head sends c and returns the status and the headers of the answer.
func (s *site) head(t *testing.T, c call) (int, http.Header) {
	t.Helper()
	resp := s.do(t, c)
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// answer sends c and returns the whole answer as golden files have it: the status, the headers that say something, and
// the body, with whatever differs from run to run in capitals.
func (s *site) answer(t *testing.T, c call) string {
	t.Helper()
	resp := s.do(t, c) //nolint:bodyclose // with the test
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, resp.Status)
	ordinary := []string{"Date", "Content-Length", "X-Content-Type-Options", "Vary"}
	for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
		if !slices.Contains(ordinary, name) {
			fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(resp.Header[name], " | "))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	return settled(b.String())
}

// settled puts a word for whatever differs from run to run.
func settled(s string) string {
	for _, r := range []struct{ pattern, with string }{
		{`"epoch":"[a-z0-9]+"`, `"epoch":"EPOCH"`},
		{`"(cursor|id|event)":"[a-z0-9]+\.(\d+)"`, `"$1":"EPOCH.$2"`},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`, `TIME`},
		{`"ticket":"[^"]+"`, `"ticket":"TICKET"`},
		{`"page":"[^"]+"`, `"page":"PAGE"`},
		{`"retryAfter":"[^"]*"`, `"retryAfter":"JITTERED"`},
		{`(?m)^Retry-After: \d+$`, `Retry-After: JITTERED`},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.with)
	}
	return s
}

// lockedBuffer is a log that handlers write and a test reads.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
