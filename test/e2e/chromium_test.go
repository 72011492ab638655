package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// A native EventSource in Chromium, with a cookie from another origin that the hub lists, gets every event once and in
// order across a kill -9 and restart of the hub, by itself.
func TestChromiumEventSourceResumesByItself(t *testing.T) {
	reports := make(chan report, 1000)
	var token atomic.Pointer[string] // of the cook, once there is a hub to sign it for
	page := servePage(t, "testdata/eventsource.html", &token, reports)
	hub := testkit.Start(t, testkit.Config{YAML: "cors: { origins: [\"" + page.URL + "\"] }\n"})
	token.Store(new(cook(t, hub)))
	admin := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
	browse(t, page.URL+"/?stream="+url.QueryEscape(hub.URL+"/v1/stream?topic=orders/*"))
	await(t, reports, "roxy:live")
	const n = 60
	for i := range n {
		if i == n/2 {
			hub.Kill9(t)
			hub.Restart(t)
		}
		mustPublish(t, hub.URL, admin, fmt.Sprintf(`[{"topic":"orders/%d","type":"order:new","data":%d},{"topic":"payments/1","data":"not for the kitchen"}]`, i, i))
	}
	hellos := 0
	for want := 0; want < n; {
		r := next(t, reports)
		switch r.Type {
		case "order:new":
			if got := data[int](t, frame{Data: r.Data}); got != want {
				t.Fatalf("got order %d, want %d", got, want)
			}
			want++
		case "roxy:hello":
			hellos++
		case "message", "roxy:reset":
			t.Fatalf("unexpected %+v", r)
		}
	}
	if hellos == 0 {
		t.Error("the browser never reconnected: the restart was not noticed")
	}
}

type report struct{ Type, ID, Data string }

// servePage serves a page that reports, on an origin of its own; the token, if there is one, is in a cookie that scripts
// cannot read.
func servePage(t *testing.T, file string, token *atomic.Pointer[string], reports chan<- report) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		if signed := token.Load(); signed != nil {
			http.SetCookie(w, &http.Cookie{Name: "roxy_token", Value: *signed, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		http.ServeFile(w, r, file)
	})
	mux.HandleFunc("POST /report", func(_ http.ResponseWriter, r *http.Request) {
		var what report
		if err := json.NewDecoder(r.Body).Decode(&what); err != nil {
			t.Errorf("report: %v", err)
		}
		reports <- what
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// browse opens page in a headless Chromium until the test ends, which trusts every certificate.
func browse(t *testing.T, page string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: install it with test/install.sh", err)
	}
	cmd := exec.CommandContext(t.Context(), chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(),
		"--remote-debugging-port=0", "--ignore-certificate-errors", page)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func next(t *testing.T, reports <-chan report) report {
	t.Helper()
	select {
	case r := <-reports:
		return r
	case <-time.After(60 * time.Second):
		t.Fatal("the page reported nothing for a minute")
		return report{}
	}
}

func await(t *testing.T, reports <-chan report, eventType string) {
	t.Helper()
	for next(t, reports).Type != eventType {
	}
}
