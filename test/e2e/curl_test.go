package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// What README and the guide tell people to paste works: publish, subscribe and resume with curl alone.
func TestCurlPublishesSubscribesAndResumes(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	waiter := "Authorization: Bearer " + hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}})
	admin := "Authorization: Bearer " + hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	publish := func(order string) string {
		out := curl(t, "-fsS", "-H", admin, "--json", `{"topic":"orders/7","type":"order:new","data":{"order":"`+order+`"}}`, hub.URL+"/v1/events")
		_, rest, ok := strings.Cut(out, `"cursor":"`)
		if !ok {
			t.Fatalf("no cursor in %s", out)
		}
		cursor, _, _ := strings.Cut(rest, `"`)
		return cursor
	}
	watch := func(flags ...string) func(line string) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		t.Cleanup(cancel)
		cmd := exec.CommandContext(ctx, "curl", append(flags, "-fsSN", "-H", waiter, hub.URL+"/v1/stream?topic=orders/*")...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			_ = cmd.Wait()
		})
		lines := bufio.NewScanner(out)
		return func(want string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), want) {
					return
				}
			}
			t.Fatalf("curl's output ended before %q: %v", want, lines.Err())
		}
	}
	first := publish("before anybody listens")
	live := watch()
	live("event: roxy:live")
	second := publish("while one listens")
	live("id: " + second)
	live(`"order":"while one listens"`)
	resumed := watch("-H", "Last-Event-ID: "+first)
	resumed("id: " + second)
	resumed("event: roxy:live")
}

func TestCurlIsToldWhatIsWrong(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	waiter := hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}})
	for name, tt := range map[string]struct {
		args   []string
		status int
		holds  string
	}{
		"no token":           {[]string{hub.URL + "/v1/stream?topic=orders/*"}, 401, `"code":"unauthenticated"`},
		"a token in the URL": {[]string{hub.URL + "/v1/stream?topic=orders/*&token=" + waiter}, 400, `"code":"token-in-url"`},
		"too wide a pattern": {[]string{"-H", "Authorization: Bearer " + waiter, hub.URL + "/v1/stream?topic=**"}, 403, `**`},
		"not granted":        {[]string{"-H", "Authorization: Bearer " + waiter, "--json", `{"topic":"payments/1"}`, hub.URL + "/v1/events"}, 403, `payments/1`},
		"an unknown member":  {[]string{"-H", "Authorization: Bearer " + waiter, "--json", `{"topic":"calls/1","dat":1}`, hub.URL + "/v1/events"}, 400, `dat`},
		"nothing there":      {[]string{hub.URL + "/v1/nothing"}, 404, `"code":"not-found"`},
	} {
		t.Run(name, func(t *testing.T) {
			out := curl(t, append([]string{"-sS", "-w", "\n%{http_code} %{content_type}"}, tt.args...)...)
			if !strings.Contains(out, tt.holds) || !strings.Contains(out, fmt.Sprintf("\n%d application/problem+json", tt.status)) {
				t.Errorf("got %s, want %d and %s", out, tt.status, tt.holds)
			}
			if strings.Contains(out, waiter) {
				t.Error("the answer holds the token")
			}
		})
	}
}

// A browser takes every status but 200 as final, so an EventSource that is refused for load alone is told to come back.
func TestEventSourceRefusedForLoadIsToldToComeBack(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{YAML: "limits: { connections: { perUser: 1 } }\n"})
	waiter := "Authorization: Bearer " + hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}})
	first := open(t, t.Context(), hub.URL, strings.TrimPrefix(waiter, "Authorization: Bearer "), url.Values{"topic": {"orders/*"}}, "")
	first.untilLive(t)
	native := curl(t, "-sS", "-i", "-H", waiter, "-H", "Accept: text/event-stream", hub.URL+"/v1/stream?topic=orders/*")
	for _, want := range []string{"HTTP/1.1 200 OK", "text/event-stream", "\nretry: ", "event: roxy:bye", `"reason":"overload"`} {
		if !strings.Contains(native, want) {
			t.Errorf("no %q in %s", want, native)
		}
	}
	client := curl(t, "-sS", "-i", "-H", waiter, "-H", "Roxy-Client: test/1", hub.URL+"/v1/stream?topic=orders/*")
	for _, want := range []string{"HTTP/1.1 429", "Retry-After: ", `"code":"rate-limited"`} {
		if !strings.Contains(client, want) {
			t.Errorf("no %q in %s", want, client)
		}
	}
}

func curl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "curl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v: %s", err, out)
	}
	return string(out)
}
