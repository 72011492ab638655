package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/testkit"
)

// roxy drain sees a hub off: every stream is told goodbye, spread over the time asked for, while the operator's listener
// says what goes on, and nothing that was acknowledged is missing afterwards.
func TestDrainSeesAHubOff(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := hub.Token(t, testkit.Claims{User: "root", Roles: []string{"everything"}})
	const n = 300 // a second and a half at least
	var streams []*stream
	for range n {
		s := open(t, ctx, hub.URL, token, url.Values{"topic": {"orders/*"}}, "")
		s.untilLive(t)
		streams = append(streams, s)
	}
	last := mustPublish(t, hub.URL, token, `{"topic":"orders/7","data":1}`)

	drain := exec.CommandContext(ctx, testkit.Binary(t), "drain", "--url", hub.AdminURL, "--over", "20s")
	drain.Env = append(os.Environ(), "ROXY_TOKEN="+token)
	said := make(chan string, 1)
	go func() {
		out, err := drain.CombinedOutput()
		said <- fmt.Sprintf("%s%v", out, err)
	}()
	retries := make(map[string]bool)
	for i, s := range streams {
		bye := s.until(t, "roxy:bye")
		if !strings.Contains(bye.Data, `"reason":"drain"`) {
			t.Fatalf("stream %d: %s", i, bye.Data)
		}
		retries[bye.Data] = true
		if i == 0 { // the rest has more than a second to go
			if resp := get(t, hub.AdminURL+"/readyz"); resp != http.StatusServiceUnavailable {
				t.Errorf("/readyz says %d", resp)
			}
			if _, err := publish(ctx, hub.URL, token, `{"topic":"orders/7"}`); err == nil {
				t.Error("a new connection was accepted")
			}
		}
	}
	if len(retries) < n/10 {
		t.Errorf("only %d different times to come back", len(retries))
	}
	if got := <-said; !strings.Contains(got, "the hub has left\n<nil>") {
		t.Errorf("drain said %q", got)
	}
	if !hub.Ended(t) {
		t.Errorf("the hub did not leave with status 0:\n%s", hub.Log())
	}
	hub.Restart(t)
	s := open(t, ctx, hub.URL, token, url.Values{"topic": {"orders/*"}, "after": {"earliest"}}, "")
	if before, _ := s.untilLive(t); len(before) != 1 || before[0].ID != last.Events[0].Cursor {
		t.Errorf("after the restart: %+v", before)
	}
}

// Whoever cannot wait for the goodbyes asks twice.
func TestASecondSignalEndsADrainAtOnce(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{YAML: "drain: { over: 10m }\n"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	token := hub.Token(t, testkit.Claims{User: "root", Roles: []string{"everything"}})
	var streams []*stream
	for range 1000 { // five seconds of goodbyes
		streams = append(streams, open(t, ctx, hub.URL, token, url.Values{"topic": {"orders/*"}}, ""))
	}
	signal := func() {
		if err := syscall.Kill(hub.PID(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	signal()
	streams[0].until(t, "roxy:live")
	for get(t, hub.AdminURL+"/readyz") != http.StatusServiceUnavailable && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	signal()
	if hub.Ended(t) {
		t.Error("a hub that was cut off says that all is well")
	}
}

func get(t *testing.T, address string) (status int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
