package admin

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/auth"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/httpapi"
	"github.com/roxyhub/roxy/hub"
	"github.com/roxyhub/roxy/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signingKey signs the tests' tokens, 32 bytes as HS256 wants them.
const signingKey = "a key for tests and nothing else"

// site is a hub with both of its listeners on real sockets.
type site struct {
	public, admin *httptest.Server
	engine        *disk.Engine
	verifier      *auth.Verifier
	hub           *hub.Hub
	drains        chan time.Duration // that were asked for
}

func open(t *testing.T) *site {
	t.Helper()
	s := new(site)
	var err error
	if s.engine, err = disk.Open("data", disk.Options{FS: vfs.NewMem()}); err != nil {
		t.Fatal(err)
	}
	h, err := hub.Start(t.Context(), s.engine, hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.verifier, err = auth.New(t.Context(), auth.Options{
		Keys: []auth.Key{{Algorithm: "HS256", Secret: []byte(signingKey)}}, Revoked: h.Revoked,
	})
	if err != nil {
		t.Fatal(err)
	}
	public, err := httpapi.New(httpapi.Options{Hub: h, Auth: s.verifier, Limits: limit.New(limit.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	scrape := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a scrape\n") })
	s.hub, s.drains = h, make(chan time.Duration, 10)
	operator := New(Options{
		Hub: h, Auth: s.verifier, Metrics: scrape, DrainOver: 30 * time.Second, Drain: func(over time.Duration) { s.drains <- over },
	})
	s.public, s.admin = httptest.NewServer(public), httptest.NewServer(operator)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := h.Close(ctx); err != nil {
			t.Error(err)
		}
		s.public.Close()
		s.admin.Close()
		s.verifier.Close()
		if err := s.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// token signs for user of tenant. An administrator may also read the orders.
func token(t *testing.T, tenant, user string, admin bool) string {
	t.Helper()
	orders, err := roxy.ParsePattern("orders/**")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := auth.SignDevelopment([]byte(signingKey), auth.Claims{
		User: user, Tenant: tenant, TokenID: "jti-" + user, Roles: []string{"waiter"},
		IssuedAt: time.Now().Add(-time.Minute), Expires: time.Now().Add(time.Hour),
		Grant: roxy.Grant{Read: []roxy.Pattern{orders}, Admin: admin},
	})
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// answered is a response that was read.
type answered struct {
	status int
	header http.Header
	body   []byte
}

// into decodes the body.
func (a answered) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v, json.RejectUnknownMembers(true)); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// code is that of the problem in the body.
func (a answered) code(t *testing.T) (code, member, detail string) {
	t.Helper()
	var p struct{ Code, Member, Detail string }
	if err := json.Unmarshal(a.body, &p, json.MatchCaseInsensitiveNames(true)); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d is no problem: %q: %v", a.status, a.body, err)
	}
	return p.Code, p.Member, p.Detail
}

// ask sends a request to the operator's listener. bearer may be "".
func (s *site) ask(t *testing.T, method, path, bearer, body string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.admin.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := s.admin.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answered{response.StatusCode, response.Header, text}
}

// follow opens a stream of orders and returns its lines once it is live. They end with the stream.
func (s *site) follow(t *testing.T, bearer string) (status int, lines <-chan string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.public.URL+"/v1/stream?topic=orders/*", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	response, err := s.public.Client().Do(r) //nolint:bodyclose // the reading goroutine closes it
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 1000) // more than any test's stream says
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out)
		defer func() { _ = response.Body.Close() }()
		for scan := bufio.NewScanner(response.Body); scan.Scan(); {
			out <- scan.Text()
		}
	}()
	t.Cleanup(func() { <-done }) // after t.Context ended
	if response.StatusCode == http.StatusOK {
		for line := range out {
			if line == "event: roxy:live" {
				break
			}
		}
	}
	return response.StatusCode, out
}
