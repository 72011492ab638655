package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/roxyhub/roxy/internal/bench"
	"github.com/roxyhub/roxy/internal/testkit"
)

func TestBenchMeasuresAHub(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	env := []string{"ROXY_URL=" + hub.URL, "ROXY_TOKEN=" + hub.Token(t, testkit.Claims{User: "bench", Roles: []string{"everything"}})}
	for name, tt := range map[string]struct {
		args                []string
		streams, deliveries int64 // of the first there are, of an event
	}{
		"at a rate":            {[]string{"-n", "100", "-r", "50", "--publishers", "2"}, 100, 100},
		"as fast as it can":    {[]string{"-n", "3", "-r", "0", "--publishers", "8", "--batch", "10"}, 3, 3},
		"mutations":            {[]string{"-n", "3", "-r", "0", "--publishers", "8", "--mutate"}, 3, 3},
		"arrays of mutations":  {[]string{"-n", "3", "-r", "0", "--publishers", "4", "--batch", "10", "--own-topics", "--mutate"}, 3, 1},
		"to topics of its own": {[]string{"-n", "100", "-r", "200", "--own-topics"}, 100, 1},
	} {
		t.Run(name, func(t *testing.T) {
			out := mustRoxy(t, env, "", append([]string{"bench", "-d", "300ms", "--warmup", "100ms", "--settle", "0s", "--json", "--pid", strconv.Itoa(hub.PID())}, tt.args...)...)
			var r bench.Result
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				t.Fatalf("%v:\n%s", err, out)
			}
			if r.Err() != nil || r.Run == nil || r.Run.Published == 0 || r.Run.Delivered != tt.deliveries*r.Run.Published || int64(r.Live) != tt.streams {
				t.Error(out)
			}
			if r.Server == nil || r.Server.Loaded.PSS == 0 || r.Run.ServerCPU <= 0 || r.Run.Latency.P99 <= 0 {
				t.Errorf("what it cost is missing:\n%s", out)
			}
		})
	}
	out := mustRoxy(t, env, "", "bench", "-n", "10", "-d", "100ms", "--warmup", "0", "--settle", "0s", "--pid", strconv.Itoa(hub.PID()))
	for _, want := range []string{"10, live after", "0 lost, 0 repeated, 0 out of order", "p99.9", "µs of CPU a delivery", "loaded"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not tell %q:\n%s", want, out)
		}
	}
	if out := mustRoxy(t, env, "", "bench", "-n", "10", "--idle", "--settle", "0s"); strings.Contains(out, "latency") {
		t.Errorf("idle, it published:\n%s", out)
	}
}

// otherHub knows nothing of Roxy: it takes form posts, over TLS, and loses the third event if it is told to.
func otherHub(t *testing.T, loses bool) (url string, env []string) {
	t.Helper()
	events := make(chan string, 1000)
	var n atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sesame" {
			http.Error(w, "say the word", http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodPost {
			if n.Add(1) != 3 || !loses {
				events <- r.FormValue("data")
			}
			_, _ = fmt.Fprint(w, "ok")
			return
		}
		out := http.NewResponseController(w)
		_ = out.Flush()
		for {
			select {
			case event := <-events:
				_, _ = fmt.Fprintf(w, "data: %s\n\n", event)
				_ = out.Flush()
			case <-r.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return s.URL, []string{"SSL_CERT_FILE=" + file, "ROXY_TOKEN=sesame"}
}

func otherHubArgs(url string) []string {
	return []string{
		"bench", "-n", "1", "-r", "100", "-d", "200ms", "--warmup", "0", "--settle", "0s",
		"--subscribe-url", url + "/sub/{topic}", "--subscribe-header", "Authorization: Bearer {token}",
		"--publish-url", url + "/pub", "--publish-header", "Authorization: Bearer {token}",
		"--publish-header", "Content-Type: application/x-www-form-urlencoded", "--publish-body", "topic={topic}&data={data}",
	}
}

func TestBenchMeasuresAnotherHub(t *testing.T) {
	url, env := otherHub(t, false)
	if out := mustRoxy(t, env, "", otherHubArgs(url)...); !strings.Contains(out, "0 lost") {
		t.Error(out)
	}
}

func TestBenchFailsWhenSomethingIsLost(t *testing.T) {
	url, env := otherHub(t, true)
	out, stderr, err := runRoxy(t, t.TempDir(), env, "", otherHubArgs(url)...)
	if err == nil || !strings.Contains(out, "1 lost") || !strings.Contains(stderr, "roxy: 1 lost") {
		t.Errorf("%v\n%s%s", err, out, stderr)
	}
}

func TestBenchSaysWhatToDo(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	other, env := otherHub(t, false)
	env = append(env, "ROXY_URL="+hub.URL)
	waiter := append(slices.Clip(env), "ROXY_TOKEN="+hub.Token(t, testkit.Claims{User: "waiter-1", Roles: []string{"waiter"}}))
	for name, tt := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"a stream that is not granted": {waiter, nil, "the hub answered 403 Forbidden: forbidden"},
		"a token that is none":         {env, nil, "the hub answered 401 Unauthorized: unauthenticated"},
		"no token":                     {append(slices.Clip(waiter), "ROXY_TOKEN="), nil, "set ROXY_TOKEN"},
		"another hub, no publishing":   {env, []string{"--subscribe-url", other}, "--publish-url"},
		"another hub, no streams":      {env, []string{"--publish-url", other}, "--subscribe-url"},
		"another hub, entities":        {env, []string{"--subscribe-url", other, "--publish-url", other, "--mutate"}, "--mutate"},
		"another hub, refused":         {env, []string{"--subscribe-url", other, "--publish-url", other}, `401 Unauthorized: "say the word`},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, err := runRoxy(t, t.TempDir(), tt.env, "", append([]string{"bench"}, tt.args...)...)
			if err == nil || out != "" || !strings.Contains(stderr, tt.want) {
				t.Errorf("%v, want %q in:\n%s%s", err, tt.want, out, stderr)
			}
		})
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -n 200; exec "$0" bench -n 300`, testkit.Binary(t))
	cmd.Env = append(os.Environ(), waiter...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "this process may have 200") || !strings.Contains(string(out), "ulimit -n 365") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestBenchInterruptedTellsWhatItHasMeasured(t *testing.T) {
	hub := testkit.Start(t, testkit.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Binary(t), "bench", "-n", "10", "-r", "100", "-d", "1h", "--warmup", "0", "--settle", "0s")
	cmd.Env = append(os.Environ(), "ROXY_URL="+hub.URL, "ROXY_TOKEN="+hub.Token(t, testkit.Claims{User: "bench", Roles: []string{"everything"}}))
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// A stream of our own sees that it publishes.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, hub.URL+"/v1/stream?topic=bench/shared&after=earliest", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+hub.Token(t, testkit.Claims{User: "watch", Roles: []string{"everything"}}))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var got []byte
	for piece := make([]byte, 4096); bytes.Count(got, []byte(`"mark"`)) < 3; {
		n, err := resp.Body.Read(piece)
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		got = append(got, piece[:n]...)
	}
	cancel()
	_ = cmd.Wait() // the context's error
	if cmd.ProcessState.ExitCode() != 0 || !strings.Contains(out.String(), "interrupted") || !strings.Contains(out.String(), "0 lost") {
		t.Errorf("it ended with %d:\n%s", cmd.ProcessState.ExitCode(), out.String())
	}
}
