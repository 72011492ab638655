package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/roxyhub/roxy"
	"github.com/roxyhub/roxy/client"
	"github.com/roxyhub/roxy/internal/testkit"
)

// listener is a client of some kind: it hands over the number of each order that it hears.
type listener func(t *testing.T, ctx context.Context, hub *testkit.Hub, at string, heard chan<- int)

// listeners are those that people use.
func listeners() map[string]listener {
	return map[string]listener{
		"curl --compressed -N": func(t *testing.T, ctx context.Context, hub *testkit.Hub, at string, heard chan<- int) {
			t.Helper()
			listenTo(t, exec.CommandContext(ctx, "curl", "--compressed", "-fsSN", "-H", "Authorization: Bearer "+cook(t, hub), at+"/v1/stream?topic=orders/*&after=earliest"), heard)
		},
		"Node's fetch": func(t *testing.T, ctx context.Context, hub *testkit.Hub, at string, heard chan<- int) {
			t.Helper()
			cmd := exec.CommandContext(ctx, "node", "testdata/fetch.mjs", at+"/v1/stream?topic=orders/*&after=earliest")
			cmd.Env = append(os.Environ(), "ROXY_TOKEN="+cook(t, hub))
			listenTo(t, cmd, heard)
		},
		"Go's client": func(t *testing.T, ctx context.Context, hub *testkit.Hub, at string, heard chan<- int) {
			t.Helper()
			c, err := client.New(client.Options{URL: at, Token: func(context.Context) (string, error) { return cook(t, hub), nil }})
			if err != nil {
				t.Fatal(err)
			}
			orders, err := roxy.ParsePattern("orders/*")
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				for m, err := range c.Subscribe(ctx, client.Subscription{Patterns: []roxy.Pattern{orders}, Earliest: true}) {
					if err != nil {
						return // the test is over
					}
					if e, ok := m.(client.Event); ok {
						var order struct{ N int }
						if json.Unmarshal(e.Data, &order) == nil {
							heard <- order.N
						}
					}
				}
			}()
		},
		"Chromium's EventSource": func(t *testing.T, _ context.Context, hub *testkit.Hub, at string, heard chan<- int) {
			t.Helper()
			//nolint:contextcheck // the browser lives as long as the test
			listenInPage(t, "testdata/eventsource.html", url.Values{"credentials": {"omit"}, "stream": {at + "/v1/stream?topic=orders/*&after=earliest&ticket=" + ticket(t, hub.URL, cook(t, hub))}}, heard)
		},
		"Chromium's WebSocket": func(t *testing.T, _ context.Context, hub *testkit.Hub, at string, heard chan<- int) {
			t.Helper()
			//nolint:contextcheck // as above
			listenInPage(t, "testdata/websocket.html", url.Values{
				"socket": {strings.Replace(at, "http://", "ws://", 1) + "/v1/ws?ticket=" + ticket(t, hub.URL, cook(t, hub))},
				"say":    {`{"op":"subscribe","ref":"s","topic":["orders/*"],"after":"earliest"}`},
			}, heard)
		},
	}
}

func cook(t *testing.T, hub *testkit.Hub) string {
	t.Helper()
	return hub.Token(t, testkit.Claims{User: "cook", Roles: []string{"kitchen"}})
}

var order = regexp.MustCompile(`"n":(\d+)`)

// listenTo runs a program that prints a stream.
func listenTo(t *testing.T, cmd *exec.Cmd, heard chan<- int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install it with test/install.sh", err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // killed with the test's context
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := order.FindStringSubmatch(lines.Text()); m != nil {
				n, _ := strconv.Atoi(m[1])
				heard <- n
			}
		}
	}()
}

// listenInPage opens a page in Chromium that reports a stream.
func listenInPage(t *testing.T, file string, query url.Values, heard chan<- int) {
	t.Helper()
	reports := make(chan report, 1000)
	page := servePage(t, file, func() string { return "" }, reports)
	browse(t, page.URL+"/?"+query.Encode())
	go func() {
		for r := range reports { // the test ends before it
			if m := order.FindStringSubmatch(r.Data); m != nil && r.Type == "order:new" {
				n, _ := strconv.Atoi(m[1])
				heard <- n
			}
		}
	}()
	t.Cleanup(func() { close(reports) })
}

// Every client hears of an event before the next one is published, whatever is in between: nothing waits in a compressor or
// in a proxy's buffer.
func TestEventsArriveOneByOneThroughWhateverIsBetween(t *testing.T) {
	locations := documented(t)
	old := regexp.MustCompile(`(?m)^\s*proxy_(http_version 1\.1|set_header Connection "");\n`).ReplaceAllString(locations, "")
	for name, config := range map[string]string{"directly": "", "nginx, as documented": locations, "nginx, HTTP/1.0 upstream": old} {
		t.Run(name, func(t *testing.T) {
			hub := testkit.Start(t, testkit.Config{YAML: "cors: { origins: [\"*\"], credentials: false }\ntrustedProxies: [127.0.0.1]\n"})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			at, log := hub.URL, ""
			if config != "" {
				at, log = startNginx(t, hub, config)
			}
			heard := make(map[string]chan int)
			for kind, listen := range listeners() {
				if config == old && strings.Contains(kind, "WebSocket") {
					continue // it takes HTTP/1.1
				}
				heard[kind] = make(chan int, 100)
				listen(t, ctx, hub, at, heard[kind])
			}
			boss := hub.Token(t, testkit.Claims{User: "boss", Roles: []string{"everything"}})
			for n := 1; n <= 8; n++ {
				mustPublish(t, hub.URL, boss, fmt.Sprintf(`{"topic":"orders/%d","type":"order:new","data":{"n":%d,"lines":[%s"beer"]}}`, n, n, strings.Repeat(`"soup",`, 10*n)))
				for kind, numbers := range heard {
					select {
					case got := <-numbers:
						if got != n {
							t.Errorf("%s: heard order %d, want %d", kind, got, n)
						}
					case <-ctx.Done():
						t.Fatalf("%s did not hear of order %d", kind, n)
					}
				}
			}
			cancel()
			if log != "" {
				hub.Stop(t)
				compressed(t, log, len(heard))
			}
		})
	}
}

// documented returns the locations of nginx's configuration in docs/operations.md.
func documented(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(page), "        location /v1/ {")
	locations, _, end := strings.Cut(rest, "\n    }\n")
	if !ok || !end {
		t.Fatal("docs/operations.md has no configuration of nginx")
	}
	return "location /v1/ {" + locations
}

// startNginx runs one in front of the hub until the test ends, and returns its URL and its log.
func startNginx(t *testing.T, hub *testkit.Hub, locations string) (at, log string) {
	t.Helper()
	dir, listen := t.TempDir(), testkit.FreeAddress(t)
	text, err := os.ReadFile("testdata/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "nginx.conf")
	config := strings.NewReplacer("DIR", dir, "HUB", strings.TrimPrefix(hub.URL, "http://"), "LISTEN", listen, "LOCATIONS", locations).Replace(string(text))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil { //nolint:gosec // a temporary folder of the test
		t.Fatal(err)
	}
	cmd := exec.Command(nginxPath(), "-p", dir, "-c", file, "-e", filepath.Join(dir, "error.log")) //nolint:noctx // stopped below
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: install it with test/install.sh", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // its workers end with it
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(20 * time.Second); get(t, "http://"+listen+"/v1/stream") != http.StatusUnauthorized; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Fatalf("nginx does not listen:\n%s", text)
		}
	}
	return "http://" + listen, filepath.Join(dir, "access.log")
}

// compressed wants the proxy to have seen so many streams, all of them compressed by the hub but those of a WebSocket, which
// compresses inside.
func compressed(t *testing.T, log string, streams int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "/v1/ws") && strings.Contains(line, " 101 "), strings.Contains(line, "after=earliest") && strings.HasSuffix(line, " 200 gzip\n"):
				seen++
			case strings.Contains(line, "after=earliest") && strings.Contains(line, " 200 "):
				t.Fatalf("not compressed: %s", line)
			}
		}
		if seen >= streams {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams in nginx's log:\n%s", seen, streams, text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// nginxPath finds Debian's, which is not in everybody's path.
func nginxPath() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}
