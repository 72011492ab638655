package httpapi

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
)

// golden compares got with a file; with ROXY_UPDATE_GOLDEN=1 it writes the file instead.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("ROXY_UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (ROXY_UPDATE_GOLDEN=1 rewrites it):\n got %s\nwant %s", path, got, want)
	}
}

// codes returns every constant of type roxy.Code, read from the source that declares them.
func codes(t *testing.T) []roxy.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []roxy.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == "Code" {
			for _, value := range spec.Values {
				s, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, roxy.Code(s))
			}
		}
		return true
	})
	if len(found) < 17 {
		t.Fatalf("found only %d codes in problem.go", len(found))
	}
	return found
}

func TestEveryCodeHasOneRow(t *testing.T) {
	rows := make(map[roxy.Code]int)
	for _, r := range table() {
		rows[r.code]++
		if r.status < 400 || r.status > 599 || r.title == "" || r.remedy == "" {
			t.Errorf("%s: %+v is not complete", r.code, r)
		}
	}
	for _, code := range codes(t) {
		if rows[code] != 1 {
			t.Errorf("%s has %d rows in the problem table, want 1", code, rows[code])
		}
		delete(rows, code)
	}
	for code := range rows {
		t.Errorf("the row %s belongs to no constant", code)
	}
	if last := table()[len(table())-1].code; last != roxy.Internal {
		t.Errorf("the last row is %s, want internal: it answers for codes without a row", last)
	}
}

func TestProblemsPageSaysWhatTheTableSays(t *testing.T) {
	var page strings.Builder
	page.WriteString("# Problems\n\nEvery refusal of the hub is `application/problem+json` (RFC 9457). `code` is stable and meant for programs, `detail` is for\n" +
		"people, `member` names the member, parameter or header at fault, `retryAfter` repeats the header `Retry-After`, which is\n" +
		"jittered. This page is written from the table in `httpapi/problem.go` by its tests.\n")
	for _, r := range table() {
		fmt.Fprintf(&page, "\n## %s\n\n%d. %s. %s\n", r.code, r.status, r.title, r.remedy)
		if r.retry > 0 {
			page.WriteString("\nCarries `Retry-After`.\n")
		}
	}
	golden(t, "../docs/problems.md", page.String())
}

// told is what Write makes of err, with the jitter of Retry-After taken out.
func told(t *testing.T, err error) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	_ = Write(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", nil), err)
	body := regexp.MustCompile(`"retryAfter":"[^"]*"`).ReplaceAllString(w.Body.String(), `"retryAfter":"JITTERED"`)
	return w.Result(), body
}

func TestProblemsOnTheWire(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.7: password hunter2")
	for name, err := range map[string]error{
		"a problem with everything": &roxy.Problem{Code: roxy.RateLimited, Member: "topic", Detail: "publishes: too many", RetryAfter: 3 * time.Second, Err: secret},
		"a bare code":               &roxy.Problem{Code: roxy.NotFound},
		"a wrapped problem":         fmt.Errorf("while at it: %w", &roxy.Problem{Code: roxy.Forbidden, Member: "topic", Detail: `topic "a" lies outside`}),
		"a code without a row":      &roxy.Problem{Code: "made-up", Detail: "odd"},
		"a body too large":          fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 100}),
		"a deadline":                fmt.Errorf("commit: %w", context.DeadlineExceeded),
		"a cancelled request":       context.Canceled,
		"an unknown error":          secret,
		"bytes that are not UTF-8":  &roxy.Problem{Code: roxy.InvalidParameter, Member: "\xff", Detail: "unknown parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := told(t, err)
			_ = resp.Body.Close() // a recorder keeps it
			if strings.Contains(body, "hunter2") {
				t.Fatal("the answer holds the hidden cause")
			}
			golden(t, filepath.Join("testdata", "problems", strings.ReplaceAll(name, " ", "-")+".json"), fmt.Sprintf("%d %s\n%s\n", resp.StatusCode, resp.Header.Get("Content-Type"), body))
		})
	}
}

func TestWriteReturnsTheCauseForTheLog(t *testing.T) {
	cause := errors.New("disk on fire")
	w := httptest.NewRecorder()
	p := Write(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), cause)
	if p.Code != roxy.Internal || !errors.Is(p, cause) {
		t.Errorf("got %v", p)
	}
}

func TestRetryAfterIsWholeSecondsAndSpread(t *testing.T) {
	for _, tt := range []struct{ asked, otherwise, least, most time.Duration }{
		{0, 0, 0, 0},
		{0, time.Second, time.Second, 2 * time.Second},
		{time.Millisecond, 0, time.Second, 2 * time.Second},
		{1001 * time.Millisecond, 0, 2 * time.Second, 4 * time.Second},
		{30 * time.Second, time.Second, 30 * time.Second, 46 * time.Second},
	} {
		seen := make(map[time.Duration]bool)
		for range 200 {
			got := retryAfter(tt.asked, tt.otherwise)
			if got < tt.least || got > tt.most || got%time.Second != 0 {
				t.Fatalf("retryAfter(%s, %s) = %s, want whole seconds from %s to %s", tt.asked, tt.otherwise, got, tt.least, tt.most)
			}
			seen[got] = true
		}
		if tt.least < tt.most && len(seen) < 2 {
			t.Errorf("retryAfter(%s, %s) is always the same", tt.asked, tt.otherwise)
		}
	}
}

func TestRateLimitFields(t *testing.T) {
	for _, tt := range []struct {
		state         roxy.LimitState
		policy, limit string
	}{
		{roxy.LimitState{Name: "publish", Quota: 200, Window: 2 * time.Second, Remaining: 150}, `"publish";q=200;w=2`, `"publish";r=150;t=1`},
		{roxy.LimitState{Name: "publish", Quota: 200, Window: 2 * time.Second, Remaining: 200}, `"publish";q=200;w=2`, `"publish";r=200;t=0`},
		{roxy.LimitState{Name: "attempts", Quota: 50, Window: 100 * time.Millisecond, Remaining: -3}, `"attempts";q=50;w=1`, `"attempts";r=0;t=1`},
		{roxy.LimitState{Name: "connections", Quota: 0, Remaining: 0}, `"connections";q=0;w=1`, `"connections";r=0;t=0`},
	} {
		h := make(http.Header)
		setRateLimit(h, tt.state)
		if h.Get("RateLimit-Policy") != tt.policy || h.Get("RateLimit") != tt.limit {
			t.Errorf("%+v: %v", tt.state, h)
		}
	}
}

func TestUnauthenticatedRequestsAreChallenged(t *testing.T) {
	for _, tt := range []struct {
		authorization string
		code          roxy.Code
		want          string
	}{
		{"", roxy.Unauthenticated, `Bearer realm="roxy"`},
		{"Bearer x", roxy.Unauthenticated, `Bearer realm="roxy", error="invalid_token"`},
		{"Bearer x", roxy.TokenExpired, `Bearer realm="roxy", error="invalid_token", error_description="the token has expired"`},
		{"Bearer x", roxy.Forbidden, ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		w := httptest.NewRecorder()
		_ = Write(w, r, &roxy.Problem{Code: tt.code})
		if got := w.Header().Get("WWW-Authenticate"); got != tt.want {
			t.Errorf("%s with %q: %s", tt.code, tt.authorization, got)
		}
	}
}
