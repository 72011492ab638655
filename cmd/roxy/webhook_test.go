package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/engine/disk"
	"github.com/roxyhub/roxy/internal/testkit"
)

// The built program posts the dead letters that it finds, tells of it in its metrics, and one that was killed while the
// receiver refused goes on after its restart.
func TestDeadLettersReachTheWebhookOverAKillNine(t *testing.T) {
	var taking atomic.Bool
	refused, taken := make(chan string, 100), make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.RawQuery != "key=hidden" || !strings.HasPrefix(r.Header.Get("webhook-signature"), "v1,") {
			t.Errorf("%s %q: %v", r.URL, r.Header, err)
		}
		to := taken
		if !taking.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			to = refused
		}
		select {
		case to <- r.Header.Get("webhook-id") + " " + string(body):
		default:
		}
	}))
	defer receiver.Close()
	await := func(what string, from chan string) string {
		t.Helper()
		select {
		case text := <-from:
			return text
		case <-time.After(30 * time.Second):
			t.Fatalf("waited in vain for a letter that is %s", what)
			return ""
		}
	}

	hub := testkit.Start(t, testkit.Config{YAML: "webhook: { url: \"" + receiver.URL + "/?key=hidden\", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw }\n"})
	hub.Stop(t)
	leaveDeadLetter(t, hub.DataDir())
	hub.Restart(t)
	first := await("refused", refused)
	hub.Kill9(t)
	taking.Store(true)
	hub.Restart(t)
	if second := await("taken", taken); second != first {
		t.Errorf("got  %s\nwant %s", second, first)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(metricsOf(t, hub), "roxy_webhook_delivered_total 1\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the metrics do not tell of the delivery")
		}
	}
	if log := hub.Log(); strings.Contains(log, "hidden") {
		t.Errorf("the log holds the URL's query:\n%s", log)
	}
}

// leaveDeadLetter puts an event that nobody can confirm into the log of a hub that does not run.
func leaveDeadLetter(t *testing.T, dir string) {
	t.Helper()
	e, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	topic, err := roxy.ParseTopic("calls/7")
	if err != nil {
		t.Fatal(err)
	}
	ack := roxy.Ack{By: roxy.AckAny, Within: time.Minute, Attempts: 1}
	_, err = e.Commit(t.Context(), "default", []roxy.Event{{Topic: topic, Type: "call:waiter", Data: []byte(`{}`), Ack: &ack}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func metricsOf(t *testing.T, hub *testkit.Hub) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, hub.AdminURL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
